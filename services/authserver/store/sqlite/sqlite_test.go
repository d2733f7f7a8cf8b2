package sqlite_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/store/sqlite"
	"demo.example/services/authserver/store/storetest"
)

// What the consumers need is in the suite's interface: this fails to compile
// when one of them grows a method that the suite does not know.
var _ = func(s storetest.Store) {
	_ = clients.Registry{Store: s}
	_ = grants.Service{Store: s}
	_ = login.Service{Store: s}
	_, _ = keys.Load(context.Background(), keys.Config{Store: s})
}

func open(t *testing.T, file string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return open(t, filepath.Join(t.TempDir(), "authserver.db")) })
}

var (
	now  = time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	john = store.User{ID: "user-1", Email: "john.doe@demo.example", Region: "USA", Role: "user", Status: store.UserApproved}
)

// secrets are what a client or a browser would have to present.
var secrets = struct{ Code, Access, Refresh, Browser, Session, Client, Passcode string }{
	"secret-code", "secret-access", "secret-refresh", "secret-browser", "secret-session", "secret-of-client", "73519046",
}

// fill stores one record of everything that hangs on a secret.
func fill(t *testing.T, db *sqlite.DB) {
	t.Helper()
	ctx, later := t.Context(), now.Add(time.Hour)
	for _, err := range []error{
		db.AddUser(ctx, john),
		db.SaveClient(ctx, store.Client{ID: "dcr-1", Registration: store.RegisteredDynamically, SecretHash: store.HashOf(secrets.Client), CreatedAt: now}),
		db.AddRequest(ctx, store.Request{ID: "r1", Browser: store.HashOf(secrets.Browser), ExpiresAt: later}),
		db.SetPasscode(ctx, store.Passcode{RequestID: "r1", MAC: store.HashOf("keyed " + secrets.Passcode), ExpiresAt: later}),
		db.AddSession(ctx, store.Session{ID: store.HashOf(secrets.Session), UserID: john.ID, ExpiresAt: later}),
		db.AddGrant(ctx, store.Grant{ID: "g1", UserID: john.ID, ClientID: "dcr-1", ExpiresAt: later},
			store.Code{Hash: store.HashOf(secrets.Code), GrantID: "g1", ClientID: "dcr-1", ExpiresAt: later}),
		db.TakeCode(ctx, store.HashOf(secrets.Code)),
		db.AddTokens(ctx,
			store.Token{Hash: store.HashOf(secrets.Access), ID: "jti-1", Kind: store.AccessToken, GrantID: "g1", ExpiresAt: later},
			store.Token{Hash: store.HashOf(secrets.Refresh), ID: "jti-2", Kind: store.RefreshToken, GrantID: "g1", ExpiresAt: later}),
		rotate(ctx, db, store.HashOf(secrets.Refresh)),
		db.AddKey(ctx, store.Key{ID: "kid", Private: []byte("sealed"), CreatedAt: now}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestReopen: a restart loses nothing, and brings nothing that was used back.
func TestReopen(t *testing.T) {
	// A name with everything that means something in a URI.
	file := filepath.Join(t.TempDir(), "a b?mode=memory&c#d%41.db")
	db, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("the database is not where it was asked to be: %v", err)
	}

	db = open(t, file)
	ctx := t.Context()
	user, err := db.UserByEmail(ctx, john.Email)
	if diff := cmp.Diff(john, user); err != nil || diff != "" {
		t.Errorf("user: %v\n%s", err, diff)
	}
	if c, err := db.Client(ctx, "dcr-1"); err != nil || c.SecretHash != store.HashOf(secrets.Client) {
		t.Errorf("client: %v, %v", c, err)
	}
	if _, err := db.Request(ctx, "r1", store.HashOf(secrets.Browser), now); err != nil {
		t.Errorf("request: %v", err)
	}
	if _, err := db.Passcode(ctx, "r1"); err != nil {
		t.Errorf("passcode: %v", err)
	}
	if _, _, err := db.Session(ctx, store.HashOf(secrets.Session)); err != nil {
		t.Errorf("session: %v", err)
	}
	if c, _, err := db.Code(ctx, store.HashOf(secrets.Code)); err != nil || !c.Used {
		t.Errorf("code: %v, %v", c, err)
	}
	if err := db.TakeCode(ctx, store.HashOf(secrets.Code)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the used code can be taken again: %v", err)
	}
	if token, err := db.Token(ctx, store.HashOf(secrets.Access)); err != nil || token.ID != "jti-1" {
		t.Errorf("access token: %v, %v", token, err)
	}
	if err := rotate(ctx, db, store.HashOf(secrets.Refresh)); !errors.Is(err, store.ErrReused) {
		t.Errorf("the rotated token can be taken again: %v", err)
	}
	if k, err := db.Keys(ctx); err != nil || len(k) != 1 {
		t.Errorf("keys: %v, %v", k, err)
	}
}

// TestFilesHoldNoSecret: whoever copies the database, its write-ahead log
// included, finds nothing in it that could be presented.
func TestFilesHoldNoSecret(t *testing.T) {
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "authserver.db"))
	fill(t, db)
	files, err := filepath.Glob(filepath.Join(dir, "authserver.db*"))
	if err != nil {
		t.Fatal(err)
	}
	var dump []byte
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		dump = append(dump, raw...)
	}
	if !bytes.Contains(dump, []byte(john.Email)) {
		t.Fatalf("the dump of %v does not even hold the user", files)
	}
	for _, secret := range []string{secrets.Code, secrets.Access, secrets.Refresh, secrets.Browser, secrets.Session, secrets.Client, secrets.Passcode} {
		if bytes.Contains(dump, []byte(secret)) {
			t.Errorf("the database holds %q", secret)
		}
	}
}

// TestBusyWriters: writers wait for one another, also those of a second
// process on the same file.
func TestBusyWriters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "authserver.db")
	dbs := []*sqlite.DB{open(t, file), open(t, file)}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			db := dbs[i%len(dbs)]
			u := john
			u.ID, u.Email = fmt.Sprint("user-", i), fmt.Sprint(i, "@demo.example")
			if err := db.AddUser(t.Context(), u); err != nil {
				t.Errorf("AddUser: %v", err)
			}
			_, err := db.LogPasscode(t.Context(), u.Email, "192.0.2.1", now, now, func(int, int, int) bool { return true })
			if err != nil {
				t.Errorf("LogPasscode: %v", err)
			}
			if _, err := db.User(t.Context(), u.ID); err != nil {
				t.Errorf("User: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("These are notes and no database. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"no such directory": filepath.Join(dir, "missing", "authserver.db"),
		"a directory":       dir,
		"not a database":    text,
	} {
		db, err := sqlite.Open(t.Context(), file)
		switch {
		case err == nil:
			db.Close()
			t.Errorf("%s: opened", name)
		case !strings.HasPrefix(err.Error(), "open "+file+": "):
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
	}
}

// TestOtherVersion: a file whose tables are not ours is refused with what to
// do, and left as it is.
func TestOtherVersion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "authserver.db")
	db, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.ExecContext(t.Context(), "PRAGMA user_version = 999"); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), file); err == nil || !strings.Contains(err.Error(), "schema 999") {
		t.Errorf("opened, or: %v", err)
	}
}

// rotate trades a refresh token for a pair that nobody knows.
func rotate(ctx context.Context, db *sqlite.DB, hash store.Hash) error {
	return db.Rotate(ctx, hash, now, 0, func() (access, refresh store.Token, err error) {
		access = store.Token{Hash: store.HashOf(rand.Text()), ID: rand.Text(), Kind: store.AccessToken, GrantID: "g1", ExpiresAt: now.Add(time.Hour)}
		refresh = store.Token{Hash: store.HashOf(rand.Text()), ID: rand.Text(), Kind: store.RefreshToken, GrantID: "g1", ExpiresAt: now.Add(time.Hour)}
		return access, refresh, nil
	})
}
