package sqlite

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
)

func openFile(t *testing.T, file string) *DB {
	t.Helper()
	db, err := Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // some close it themselves
	return db
}

// TestClientGrant: a client's own token has no user, and is found as every
// token is.
func TestClientGrant(t *testing.T) {
	ctx, db := t.Context(), openFile(t, filepath.Join(t.TempDir(), "db"))
	at := time.Unix(1_785_000_000, 0).UTC()
	grant := store.Grant{ID: "g1", ClientID: "report", Resource: "https://api.example", Scope: "read", CreatedAt: at, ExpiresAt: at.Add(time.Hour)}
	token := store.Token{Hash: store.HashOf("secret"), ID: "t1", Kind: store.AccessToken, GrantID: "g1", Scope: "read", IssuedAt: at, ExpiresAt: at.Add(time.Hour)}
	if err := db.AddClientGrant(ctx, grant, token); err != nil {
		t.Fatal(err)
	}
	want := store.LiveToken{Token: token, Grant: grant}
	for name, find := range map[string]func() (store.LiveToken, error){
		"by hash": func() (store.LiveToken, error) { return db.Token(ctx, token.Hash) },
		"by id":   func() (store.LiveToken, error) { return db.TokenByID(ctx, "t1") },
	} {
		got, err := find()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	other := grant
	other.ID = "g2"
	if err := db.AddClientGrant(ctx, other, token); !errors.Is(err, store.ErrExists) {
		t.Errorf("the same token again: %v", err)
	}
	if err := db.AddTokens(ctx, store.Token{Hash: store.HashOf("x"), ID: "t2", GrantID: "g2"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the grant of a token that was not stored is there: %v", err)
	}
	// A grant that lost its user is a mistake, and does not become a client's.
	if err := db.AddGrant(ctx, other, store.Code{Hash: store.HashOf("code"), GrantID: "g2"}); err == nil {
		t.Error("AddGrant took a grant without a user")
	}
	if err := db.RevokeGrant(ctx, "g1"); err != nil {
		t.Fatal(err)
	}
	if got, err := db.Token(ctx, token.Hash); err != nil || !got.Grant.Revoked {
		t.Errorf("revoked: %+v, %v", got, err)
	}
	if err := db.Expire(ctx, at.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Token(ctx, token.Hash); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("expired: %v", err)
	}
}

// TestAssertionOnce: an assertion is taken once, in parallel and after the
// file was closed, until it expires.
func TestAssertionOnce(t *testing.T) {
	ctx, file := t.Context(), filepath.Join(t.TempDir(), "db")
	db := openFile(t, file)
	hash, at := store.HashOf("client and jti"), time.Unix(1_785_000_000, 0)
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			switch err := db.AddAssertion(ctx, hash, at); {
			case err == nil:
				taken.Add(1)
			case !errors.Is(err, store.ErrExists):
				t.Error(err)
			}
		})
	}
	if all.Wait(); taken.Load() != 1 {
		t.Errorf("taken %d times", taken.Load())
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openFile(t, file)
	if err := db.Expire(ctx, at.Add(-time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := db.AddAssertion(ctx, hash, at); !errors.Is(err, store.ErrExists) {
		t.Errorf("after reopening the file: %v", err)
	}
	if err := db.Expire(ctx, at); err != nil {
		t.Fatal(err)
	}
	if err := db.AddAssertion(ctx, hash, at); err != nil {
		t.Errorf("it was not forgotten: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.AddAssertion(ctx, store.HashOf("x"), at); err == nil || errors.Is(err, store.ErrExists) {
		t.Errorf("an outage looks like a replay: %v", err)
	}
}
