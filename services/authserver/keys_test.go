package authserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/store/sqlite"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
)

// direct sends requests to a handler without a network, which a synctest
// bubble could not wait for.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r = r.Clone(r.Context())
	r.Body = http.NoBody // a server's request has one
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// bubble is a server whose clock, like everybody's in a synctest bubble, jumps
// to where the next one waits.
type bubble struct {
	*server
	t       *testing.T
	handler http.Handler
	environ []string
	user    store.User
	tokens  int
}

func newBubble(t *testing.T, lifetime time.Duration) *bubble {
	t.Helper()
	dir := t.TempDir()
	for _, name := range secretNames {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name+secretFor), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{Site: site.Site{Domain: "demo.localhost", HTTPSPort: 8443}, SecretsDir: dir, DatabaseFile: filepath.Join(dir, "authserver.db"), KeyLifetime: lifetime}
	db, err := sqlite.Open(t.Context(), cfg.DatabaseFile)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(t.Context(), cfg, db, &mailbox{}, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b := &bubble{server: s, t: t, handler: s.routes(), environ: []string{"SECRETS_DIR=" + dir, "DATABASE_FILE=" + cfg.DatabaseFile}}
	if b.user, err = db.UserByEmail(t.Context(), john); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.keys.Run(ctx, s.log) }()
	t.Cleanup(func() {
		stop()
		<-done
		if err := errors.Join(s.trail.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// phantom returns the JWT behind a new access token.
func (b *bubble) phantom() string {
	b.t.Helper()
	now, opaque := b.now(), rand.Text()
	b.tokens++
	g := store.Grant{ID: fmt.Sprint(b.tokens), UserID: b.user.ID, ClientID: "mcp-inspector", Resource: b.cfg.MCPResource(), Scope: "stocks/read", AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	if err := b.db.AddGrant(b.t.Context(), g, store.Code{Hash: store.HashOf(rand.Text()), GrantID: g.ID, ExpiresAt: now}); err != nil {
		b.t.Fatal(err)
	}
	err := b.db.AddTokens(b.t.Context(), store.Token{
		Hash: store.HashOf(opaque), ID: g.ID, Kind: store.AccessToken, GrantID: g.ID, Scope: g.Scope, IssuedAt: now, ExpiresAt: now.Add(grants.AccessLifetime),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/introspect", strings.NewReader(url.Values{"token": {opaque}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/jwt")
	r.Header.Set(basic("gateway")[0], basic("gateway")[1])
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	if w.Header().Get("Content-Type") != "application/jwt" {
		b.t.Fatalf("introspect: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func (b *bubble) verifier() *token.Verifier {
	return token.NewVerifier(b.cfg.Issuer(), b.cfg.MCPResource(), "http://authserver.internal/jwks", &http.Client{Transport: direct{b.handler}})
}

// published returns the kids of the JWKS, oldest first.
func (b *bubble) published() []string {
	b.t.Helper()
	var set struct {
		Keys []struct{ Kid, D string }
	}
	if err := json.Unmarshal(b.keys.JWKS(), &set); err != nil {
		b.t.Fatal(err)
	}
	var kids []string
	for _, k := range set.Keys {
		if k.D != "" {
			b.t.Error("a private key is published")
		}
		kids = append(kids, k.Kid)
	}
	return kids
}

func kidOf(t *testing.T, jwt string) string {
	t.Helper()
	header, _ := claimsOf(t, jwt)
	return header["kid"].(string)
}

// TestRotationUnderLoad: attack J9. Keys change every half hour of five, on
// schedule and by the subcommand at a bad moment; no token fails at any
// verifier, whether it is busy, idle, or caches exactly as long as it may.
func TestRotationUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, 30*time.Minute)
		busy, idle := b.verifier(), b.verifier()
		var strict string // a verifier that fetches the JWKS when max-age has passed, and never else
		var fetched time.Time
		type issued struct {
			jwt string
			at  time.Time
		}
		var live []issued
		kids := map[string]bool{}
		for i := range 5 * 60 {
			now := time.Now()
			if now.Sub(fetched) >= keys.CacheFor {
				strict, fetched = string(b.keys.JWKS()), now
			}
			fresh := b.phantom()
			kid := kidOf(t, fresh)
			kids[kid] = true
			if !strings.Contains(strict, `"`+kid+`"`) {
				t.Fatalf("minute %d: the key signs and was not published for as long as the JWKS may be cached", i)
			}
			live = append(live, issued{fresh, now})
			for len(live) > 0 && now.Sub(live[0].at) >= grants.AccessLifetime {
				live = live[1:]
			}
			for _, v := range []struct {
				name  string
				every int
				*token.Verifier
			}{{"busy", 1, busy}, {"idle", 90, idle}, {"new", 45, b.verifier()}} {
				if i%v.every != 0 {
					continue
				}
				for _, token := range []string{fresh, live[0].jwt} { // the newest and the oldest
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Fatalf("minute %d: the %s verifier refuses a good token: %v", i, v.name, err)
					}
				}
			}
			if i == 100 {
				if err := RotateKeys(t.Context(), b.environ, new(bytes.Buffer)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute + 7*time.Second)
		}
		if len(kids) < 10 {
			t.Errorf("%d keys signed in five hours", len(kids))
		}
		if n := len(b.published()); n > 3 { // signing, kept, ahead
			t.Errorf("%d keys are published: old ones are not deleted", n)
		}
	})
}

// TestRotateKeys walks through the states of a key, from the subcommand that
// makes it to the end of the one before it (attack J9).
func TestRotateKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, 30*24*time.Hour)
		verifier := b.verifier()
		passes := func(jwt string) bool { _, err := verifier.Verify(t.Context(), jwt); return err == nil }
		old := kidOf(t, b.phantom())
		time.Sleep(time.Minute)
		// What a thief of the old key would sign: good for as long as is believed.
		now := time.Now()
		forged, err := b.keys.Sign(token.Type, token.Claims{RegisteredClaims: jwt.RegisteredClaims{
			Issuer: b.cfg.Issuer(), Audience: jwt.ClaimStrings{b.cfg.MCPResource()}, Subject: "thief", ID: "1",
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(20 * time.Hour)),
		}, ClientID: "thief"})
		if err != nil {
			t.Fatal(err)
		}

		var said bytes.Buffer
		for range 2 { // a key that waits for its time is not overtaken by another
			if err := RotateKeys(t.Context(), b.environ, &said); err != nil {
				t.Fatal(err)
			}
		}
		if want := "signs from " + now.Add(keys.PublishAhead).UTC().Format(time.RFC3339); strings.Count(said.String(), want) != 2 {
			t.Errorf("rotate-keys said %q, want %q", said.String(), want)
		}
		time.Sleep(10 * time.Second) // the running server looks for new keys
		if got := b.published(); len(got) != 2 || got[0] != old {
			t.Fatalf("published: %v", got)
		}
		time.Sleep(keys.PublishAhead - 11*time.Second)
		last := b.phantom()
		if kidOf(t, last) != old {
			t.Error("the new key signs before its time")
		}
		time.Sleep(2 * time.Second)
		if kidOf(t, b.phantom()) == old {
			t.Error("the old key still signs")
		}
		time.Sleep(grants.AccessLifetime - 3*time.Second)
		if !passes(last) || !passes(forged) {
			t.Error("the old key is gone before its last token has expired")
		}
		time.Sleep(time.Minute)
		if got := b.published(); len(got) != 1 || got[0] == old {
			t.Errorf("published: %v", got)
		}
		time.Sleep(keys.CacheFor)
		passes(b.phantom()) // has the verifier fetch the keys again
		synctest.Wait()
		if passes(forged) {
			t.Error("J9: a retired key is believed")
		}
		if stored, err := b.db.Keys(t.Context()); err != nil || len(stored) != 1 {
			t.Errorf("%d keys are stored (%v)", len(stored), err)
		}
	})
}

func TestRotateKeysRefuses(t *testing.T) {
	h := newHarness(t)
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "key-encryption-key"), []byte("another"+secretFor), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		environ []string
		want    string
	}{
		"no database":       {[]string{"SECRETS_DIR=" + h.cfg.SecretsDir, "DATABASE_FILE=" + filepath.Join(other, "none.db")}, "DATABASE_FILE"},
		"no secrets":        {[]string{"SECRETS_DIR=" + filepath.Join(other, "none"), "DATABASE_FILE=" + h.cfg.DatabaseFile}, "SECRETS_DIR"},
		"another secret":    {[]string{"SECRETS_DIR=" + other, "DATABASE_FILE=" + h.cfg.DatabaseFile}, "another key-encryption-key"},
		"too short a life":  {[]string{"KEY_LIFETIME=5m"}, "KEY_LIFETIME"},
		"a life of no unit": {[]string{"KEY_LIFETIME=30"}, "KEY_LIFETIME"},
	} {
		err := RotateKeys(t.Context(), tt.environ, new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error about %s", name, err, tt.want)
		}
	}
	if _, err := os.Stat(filepath.Join(other, "none.db")); err == nil {
		t.Error("a database was created")
	}
	if stored, err := h.db.Keys(t.Context()); err != nil || len(stored) != 1 {
		t.Errorf("%d keys are stored (%v)", len(stored), err)
	}
}

func TestJWKSMayBeCached(t *testing.T) {
	h := newHarness(t)
	a := h.get(h.newBrowser(), "/jwks")
	if a.Header.Get("Cache-Control") != "public, max-age=300" || keys.PublishAhead < keys.CacheFor {
		t.Errorf("Cache-Control %q, keys are published %s ahead", a.Header.Get("Cache-Control"), keys.PublishAhead)
	}
}
