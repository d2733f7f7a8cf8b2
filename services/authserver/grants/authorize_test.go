package grants

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/store/storetest"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/site"
)

// requestsOnly is a store for a service that does no more than begin requests.
type requestsOnly struct {
	grantStore
	added []store.Request
}

func (s *requestsOnly) AddRequest(_ context.Context, r store.Request) error {
	s.added = append(s.added, r)
	return nil
}

// noClients is a client store that has none, on a machine without a network.
type noClients struct{ storetest.Store }

func (noClients) SaveClient(context.Context, store.Client) error { return nil }
func (noClients) Client(context.Context, string) (store.Client, error) {
	return store.Client{}, store.ErrNotFound
}
func (noClients) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
}

// FuzzAuthorize: whatever the query, a request is put to a user only with an
// S256 challenge, a registered redirect URI, and no more than the client may
// ask for; and a refusal is sent to a registered redirect URI or nowhere.
func FuzzAuthorize(f *testing.F) {
	demo := site.Site{Domain: "demo.example", HTTPSPort: 443}
	agent := store.Client{
		ID: "agent", RedirectURIs: []string{"http://127.0.0.1/cb", "https://agent.example/cb"}, GrantTypes: []string{"authorization_code"},
		Scope: "stocks/read openid", Resources: []string{demo.MCPResource()},
	}
	machine := store.Client{ID: "machine", RedirectURIs: []string{"https://machine.example/cb"}}
	now := func() time.Time { return time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC) }
	registry := &clients.Registry{
		Presets: map[string]store.Client{"agent": agent, "machine": machine}, Store: noClients{},
		Documents: clients.NewDocuments(&http.Client{Transport: noClients{}}, now), Now: now,
	}
	good := url.Values{
		"response_type": {"code"}, "client_id": {"agent"}, "redirect_uri": {"http://127.0.0.1:7/cb"}, "state": {"st"}, "scope": {"stocks/read"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "resource": {demo.MCPResource()},
	}
	f.Add(good.Encode())
	for name, value := range map[string]string{
		"redirect_uri": "http://127.0.0.1%2Fcb%23@evil.example/x", "code_challenge": "", "code_challenge_method": "plain", "client_id": "https://agent.example/c.json",
		"scope": "admin", "resource": "https://evil.example/", "request": "x", "prompt": "none login", "max_age": "-1", "response_type": "token", "response_mode": "fragment",
	} {
		q := url.Values{}
		for k, v := range good {
			q[k] = v
		}
		q.Set(name, value)
		f.Add(q.Encode())
		f.Add(good.Encode() + "&" + url.Values{name: {value}}.Encode())
	}
	f.Fuzz(func(t *testing.T, query string) {
		params, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		stored := &requestsOnly{}
		s := New(Service{Site: demo, Store: stored, Clients: registry, Log: slog.New(slog.DiscardHandler), Now: now})
		browser := store.HashOf("browser")
		r, err := s.Authorize(t.Context(), params, browser)
		c := registry.Presets[params.Get("client_id")]

		var local LocalError
		var redirect *RedirectError
		switch {
		case errors.As(err, &redirect):
			if !clients.IsRedirect(c, redirect.RedirectURI) || redirect.RedirectURI != params.Get("redirect_uri") || redirect.State != params.Get("state") || redirect.Err.Code == "" {
				t.Fatalf("%q: refused at %+v", query, redirect)
			}
		case errors.As(err, &local):
			if local.Reason == "" {
				t.Fatalf("%q: refused without a reason", query)
			}
		case err != nil:
			t.Fatalf("%q: an outage: %v", query, err)
		}
		if err != nil {
			if len(stored.added) != 0 {
				t.Fatalf("%q: refused (%v) and stored", query, err)
			}
			return
		}

		for name, values := range params {
			if len(values) > 1 && name != "resource" {
				t.Fatalf("%q: %s twice", query, name)
			}
		}
		switch {
		case len(stored.added) != 1 || !cmp.Equal(stored.added[0], r):
			t.Fatalf("%q: stored %+v", query, stored.added)
		case params.Get("code_challenge_method") != "S256" || len(r.Challenge) != 43 || r.Challenge != params.Get("code_challenge"):
			t.Fatalf("%q: without a challenge", query)
		case r.ClientID != c.ID || !clients.IsRedirect(c, r.RedirectURI) || !clients.AllowsGrant(c, "authorization_code"):
			t.Fatalf("%q: for a client that may not: %+v", query, r)
		case !slices.Contains(c.Resources, r.Resource) || len(params["resource"]) > 1:
			t.Fatalf("%q: for another resource: %+v", query, r)
		case r.Browser != browser || r.UserID != "" || !r.ExpiresAt.Equal(now().Add(RequestLifetime)) || len(r.ID) < 26:
			t.Fatalf("%q: not bound: %+v", query, r)
		case params.Get("response_type") != "code" || params.Has("request") || params.Has("request_uri") || strings.Contains(params.Get("prompt"), "none"):
			t.Fatalf("%q: what is not offered: %+v", query, r)
		}
		for _, scope := range strings.Fields(r.Scope) {
			if !oauth.HasScope(c.Scope, scope) {
				t.Fatalf("%q: scope %q", query, r.Scope)
			}
		}
	})
}
