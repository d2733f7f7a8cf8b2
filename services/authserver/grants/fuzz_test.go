package grants

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
)

// fuzzStore remembers the one thing that reading a request stores.
type fuzzStore struct {
	grantStore
	added []store.Request
}

func (s *fuzzStore) AddRequest(_ context.Context, r store.Request) error {
	s.added = append(s.added, r)
	return nil
}

func (s *fuzzStore) AddPushedRequest(context.Context, store.Hash, store.Request) error { return nil }

func (s *fuzzStore) TakePushedRequest(context.Context, store.Hash, string, time.Time) (store.Request, error) {
	return store.Request{}, store.ErrNotFound
}

// memoryKeys keeps the signing key of one test.
type memoryKeys struct{ keys []store.Key }

func (m *memoryKeys) AddKey(_ context.Context, k store.Key) error {
	m.keys = append(m.keys, k)
	return nil
}
func (m *memoryKeys) DeleteKey(context.Context, string) error   { return nil }
func (m *memoryKeys) Keys(context.Context) ([]store.Key, error) { return m.keys, nil }

const fuzzCallback = "http://localhost/cb"

func fuzzService(f *testing.F) (*Service, *fuzzStore) {
	ring, err := keys.Load(f.Context(), keys.Config{Store: &memoryKeys{}, Secret: "key-encryption-key-0123456789abcdef", Lifetime: time.Hour, TokenLifetime: AccessLifetime, Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	where := site.Site{Domain: "demo.localhost", HTTPSPort: 8443}
	s := &fuzzStore{}
	registry := &clients.Registry{Store: noClients{}, Now: time.Now, Presets: map[string]store.Client{"client-1": {
		ID: "client-1", RedirectURIs: []string{fuzzCallback}, GrantTypes: []string{"authorization_code"}, AuthMethod: clients.AuthNone,
		Scope: "stocks/read openid email", Resources: []string{where.MCPResource()},
	}}, Documents: clients.NewDocuments(clients.NewFetcher(nil, "", ""), time.Now)}
	return New(Service{Site: where, Store: s, Clients: registry, Keys: ring, Log: slog.New(slog.DiscardHandler), Now: time.Now}), s
}

// FuzzAuthorizeQuery: whatever a browser brings, nobody is sent to an address
// that is not registered, and what is stored is a request with PKCE for an
// audience and scopes that the client may ask for.
func FuzzAuthorizeQuery(f *testing.F) {
	good := "response_type=code&client_id=client-1&redirect_uri=http%3A%2F%2Flocalhost%2Fcb&state=st&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
	for _, seed := range []string{
		good, good + "&scope=stocks/read+openid&resource=https://mcp.demo.localhost:8443/", good + "&prompt=none&max_age=0", good + "&prompt=login+consent&id_token_hint=a.b.c",
		good + "&resource=https%3A%2F%2Flogin.demo.localhost%3A8443&scope=openid", good + "&request=x", good + "&request_uri=urn:ietf:params:oauth:request_uri:x", good + "&state=twice",
		good + "&max_age=-1", good + "&response_mode=fragment", "client_id=client-1&redirect_uri=http://localhost%252Fcb%2523@evil.example/x", "client_id=client-1&redirect_uri=http://localhost:1/cb", "%zz", "a;b", "",
	} {
		f.Add(seed)
	}
	s, stored := fuzzService(f)
	client := s.Clients.Presets["client-1"]
	f.Fuzz(func(t *testing.T, raw string) {
		params, err := url.ParseQuery(raw)
		if err != nil || len(params.Get("client_id")) > 8 && params.Get("client_id")[:8] == "https://" {
			return // refused before this, and not fetched in a test
		}
		stored.added = nil
		r, err := s.Authorize(t.Context(), params, store.Hash{})
		var redirect *RedirectError
		var local LocalError
		switch {
		case err == nil:
			if len(stored.added) != 1 || !clients.IsRedirect(client, r.RedirectURI) || !challengeForm.MatchString(r.Challenge) || r.Scope == "" ||
				r.Resource != s.Site.MCPResource() && r.Resource != s.Site.Issuer() || oauth.HasScope(r.Scope, oauth.ScopeStocksTrade) {
				t.Errorf("%q was taken as %+v", raw, r)
			}
		case errors.As(err, &redirect):
			if !clients.IsRedirect(client, redirect.RedirectURI) || redirect.Err.Code == "" || len(stored.added) != 0 {
				t.Errorf("%q was redirected to %q", raw, redirect.RedirectURI)
			}
		case errors.As(err, &local):
		default:
			t.Errorf("%q is an outage: %v", raw, err)
		}
		// The same form, pushed: an error is always one that the client is told.
		var refusal *oauth.Error
		if _, err := s.Push(t.Context(), client, params); err != nil && !errors.As(err, &refusal) {
			t.Errorf("%q pushed is an outage: %v", raw, err)
		}
	})
}

// FuzzIDTokenHint: only what this server signed as an ID token is read.
func FuzzIDTokenHint(f *testing.F) {
	s, _ := fuzzService(f)
	idToken, err := s.idToken(store.Client{ID: "client-1"}, store.Grant{UserID: "user-1", Scope: "openid"}, store.User{}, "access")
	if err != nil {
		f.Fatal(err)
	}
	access, err := s.Keys.Sign(token.Type, token.Claims{RegisteredClaims: jwt.RegisteredClaims{Issuer: s.Site.Issuer(), Subject: "user-1", Audience: jwt.ClaimStrings{"client-1"}}})
	if err != nil {
		f.Fatal(err)
	}
	foreign, err := s.Keys.Sign(idTokenType, jwt.RegisteredClaims{Issuer: "https://evil.example", Subject: "user-1", Audience: jwt.ClaimStrings{"client-1"}})
	if err != nil {
		f.Fatal(err)
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.RegisteredClaims{Issuer: s.Site.Issuer(), Subject: "user-1", Audience: jwt.ClaimStrings{"client-1"}}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		f.Fatal(err)
	}
	if got, err := s.ReadHint(idToken); err != nil || got != (Hint{UserID: "user-1", ClientID: "client-1"}) {
		f.Fatalf("%+v, %v", got, err)
	}
	for _, seed := range []string{idToken, access, foreign, unsigned, "a.b.c", "", idToken + "=", idToken + "."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if got, err := s.ReadHint(raw); err == nil && raw != idToken {
			t.Errorf("%q was read as %+v", raw, got)
		}
	})
}
