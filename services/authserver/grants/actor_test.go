package grants

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/store/sqlite"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
)

// TestActorsNest: a token that was exchanged may be exchanged again, where a
// rule allows it. The newest actor is outermost (RFC 8693 §4.1), no token
// lives longer than the one before it, and all end with the first.
func TestActorsNest(t *testing.T) {
	ctx, now := t.Context(), time.Now().Truncate(time.Second)
	db, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	clock := func() time.Time { return now }
	ring, err := keys.Load(ctx, keys.Config{Store: db, Secret: "key-encryption-key-0123456789abcdef", Lifetime: time.Hour, TokenLifetime: AccessLifetime, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	agent := store.Client{ID: "agent", AuthMethod: clients.AuthNone, Scope: oauth.ScopeStocksRead, Resources: []string{"https://mcp.demo.example/"}, Type: clients.TypeMCP, Assurance: clients.AssuranceNone}
	registry := &clients.Registry{Presets: map[string]store.Client{"agent": agent}, Store: db, Now: clock}
	s := New(Service{Site: site.Site{Domain: "demo.example", HTTPSPort: 443}, Store: db, Clients: registry, Keys: ring, Log: slog.New(slog.DiscardHandler), Now: clock})
	first := issueFor(ctx, t, s, db, agent)

	hop := func(actor, subject string, rule ExchangeRule) (token.Claims, string) {
		t.Helper()
		out, err := s.exchange(ctx, store.Client{ID: actor}, rule, ExchangeRequest{SubjectToken: subject, SubjectTokenType: oauth.TokenTypeAccessToken})
		if err != nil {
			t.Fatalf("%s: %v", actor, err)
		}
		var claims token.Claims
		if _, err := jwt.NewParser(jwt.WithTimeFunc(clock)).ParseWithClaims(out.AccessToken, &claims, ring.Key); err != nil {
			t.Fatalf("%s: %v", actor, err)
		}
		return claims, out.AccessToken
	}
	read := []string{oauth.ScopeStocksRead}
	one, raw := hop("stocksmcp", first, ExchangeRule{From: s.Site.MCPResource(), To: s.Site.APIResource(), Scopes: read})
	now = now.Add(time.Minute)
	toLedger := ExchangeRule{From: s.Site.APIResource(), To: "https://ledger.example", Scopes: read}
	two, last := hop("stocksapi", raw, toLedger)
	now = now.Add(time.Minute)
	three, _ := hop("ledger", last, ExchangeRule{From: "https://ledger.example", To: "https://archive.example", Scopes: read})

	if diff := cmp.Diff(&token.Actor{Subject: "ledger", Actor: &token.Actor{Subject: "stocksapi", Actor: &token.Actor{Subject: "stocksmcp"}}}, three.Actor); diff != "" {
		t.Errorf("act (-want +got):\n%s", diff)
	}
	for name, pair := range map[string][2]token.Claims{"second": {one, two}, "third": {two, three}} {
		before, after := pair[0], pair[1]
		if after.ExpiresAt.After(before.ExpiresAt.Time) || after.Subject != before.Subject || after.ClientID != "agent" || after.Region != "USA" || after.ID == before.ID {
			t.Errorf("%s exchange: from %+v to %+v", name, before, after)
		}
	}
	if err := db.RevokeToken(ctx, store.HashOf(first)); err != nil {
		t.Fatal(err)
	}
	_, err = s.exchange(ctx, store.Client{ID: "stocksapi"}, toLedger, ExchangeRequest{SubjectToken: raw, SubjectTokenType: oauth.TokenTypeAccessToken})
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != "invalid_request" {
		t.Errorf("the first token was revoked, and the second exchanged: %v", err)
	}
}

// issueFor returns an access token for the MCP server, of a user who allowed
// it.
func issueFor(ctx context.Context, t *testing.T, s *Service, db *sqlite.DB, c store.Client) string {
	t.Helper()
	if err := db.AddUser(ctx, store.User{ID: "user-1", Email: "john@demo.example", Region: "USA", Role: "user", Status: store.UserApproved}); err != nil {
		t.Fatal(err)
	}
	grant := store.Grant{ID: "grant-1", UserID: "user-1", ClientID: c.ID, Resource: s.Site.MCPResource(), Scope: oauth.ScopeStocksRead, AuthTime: s.Now(), CreatedAt: s.Now(), ExpiresAt: s.Now().Add(time.Hour)}
	if err := db.AddGrant(ctx, grant, store.Code{Hash: store.HashOf("code"), GrantID: grant.ID, ClientID: c.ID, ExpiresAt: s.Now()}); err != nil {
		t.Fatal(err)
	}
	tokens, err := s.issue(ctx, c, grant, grant.Scope, grant.Scope)
	if err != nil {
		t.Fatal(err)
	}
	return tokens.AccessToken
}
