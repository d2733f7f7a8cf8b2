package agent_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"demo.example/e2e/agent"
	"demo.example/e2e/deployment"
)

// server is everything that an agent talks to, on no network: an MCP server
// and its authorization server, whose documents a test has changed.
type server struct {
	resource, metadata map[string]any

	mu   sync.Mutex
	seen []string // method and address of each request
}

// RoundTrip answers a request.
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	address := r.URL.Scheme + "://" + r.URL.Host + r.URL.Path
	s.seen = append(s.seen, r.Method+" "+address)
	status, header, body := http.StatusNotFound, http.Header{"Content-Type": {"application/json"}}, any(map[string]any{})
	switch r.Method + " " + address {
	case "POST " + mcpEndpoint:
		status = http.StatusUnauthorized
		header.Set("WWW-Authenticate", `Bearer scope="stocks/read", resource_metadata="https://mcp.demo.localhost:8443/.well-known/oauth-protected-resource"`)
	case "GET https://mcp.demo.localhost:8443/.well-known/oauth-protected-resource":
		status, body = http.StatusOK, s.resource
	case "GET " + issuer + "/.well-known/oauth-authorization-server":
		status, body = http.StatusOK, s.metadata
	case "POST " + issuer + "/register":
		status, body = http.StatusCreated, map[string]any{"client_id": "c", "redirect_uris": []string{redirect}, "token_endpoint_auth_method": "none"}
	case "POST " + issuer + "/token":
		status, body = http.StatusOK, map[string]any{"access_token": "a", "token_type": "Bearer", "expires_in": 900}
	}
	raw, err := json.Marshal(body)
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(string(raw))), Request: r}, err
}

const (
	issuer      = "https://login.demo.localhost:8443"
	mcpEndpoint = "https://mcp.demo.localhost:8443/"
	redirect    = "http://127.0.0.1:49321/callback"
)

// isToken reports whether a request is to any token endpoint.
func isToken(request string) bool { return strings.HasSuffix(request, "/token") }

// TestHostileServers: attack C11. An agent opens no address but that of the
// authorization server, and hands no code to anybody else, whatever documents
// and responses say. Nothing here starts a program: the user's browser is a
// function.
func TestHostileServers(t *testing.T) {
	set := func(document func(*server) map[string]any, name string, value any) func(*server, url.Values) {
		return func(s *server, _ url.Values) { document(s)[name] = value }
	}
	metadata := func(s *server) map[string]any { return s.metadata }
	resource := func(s *server) map[string]any { return s.resource }
	answer := func(name, value string) func(*server, url.Values) {
		return func(_ *server, response url.Values) { response[name] = []string{value} }
	}
	tests := map[string]struct {
		change        func(*server, url.Values)
		opens, redeem bool // what the agent does
	}{
		"honest":                                      {func(*server, url.Values) {}, true, true},
		"authorization_endpoint: script":              {set(metadata, "authorization_endpoint", "javascript:alert(1)"), false, false},
		"authorization_endpoint: file":                {set(metadata, "authorization_endpoint", "file:///usr/bin/x"), false, false},
		"authorization_endpoint: shell":               {set(metadata, "authorization_endpoint", "$(touch /tmp/x)"), false, false},
		"authorization_endpoint: shell in an address": {set(metadata, "authorization_endpoint", "a:$(touch /tmp/x)?b"), false, false},
		"authorization_endpoint: http":                {set(metadata, "authorization_endpoint", "http://login.demo.localhost:8443/authorize"), false, false},
		"authorization_endpoint: elsewhere":           {set(metadata, "authorization_endpoint", "https://evil.example/authorize"), false, false},
		"authorization_endpoint: looks alike":         {set(metadata, "authorization_endpoint", "https://login.demo.localhost:8443@evil.example/authorize"), false, false},
		"metadata of another issuer":                  {set(metadata, "issuer", "https://evil.example"), false, false},
		"no PKCE":                                     {set(metadata, "code_challenge_methods_supported", nil), false, false},
		"resource of somebody else":                   {set(resource, "resource", "https://api.demo.localhost:8443/"), false, false},
		"another authorization server":                {set(resource, "authorization_servers", []string{"https://evil.example"}), false, false},
		"response of another issuer":                  {answer("iss", "https://evil.example"), true, false},
		"response without issuer":                     {answer("iss", ""), true, false},
		"response to another request":                 {answer("state", "x"), true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := &server{
				resource: map[string]any{"resource": mcpEndpoint, "authorization_servers": []string{issuer}},
				metadata: map[string]any{
					"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
					"registration_endpoint": issuer + "/register", "response_types_supported": []string{"code"},
					"code_challenge_methods_supported":               []string{"S256"},
					"authorization_response_iss_parameter_supported": true,
				},
			}
			response := url.Values{"code": {"secret-code"}, "iss": {issuer}}
			tt.change(s, response)
			d := &deployment.Deployment{Domain: "demo.localhost", HTTPSPort: 8443}
			d.Observe(func(http.RoundTripper) http.RoundTripper { return s })
			opened := []string{}
			a, err := agent.New(d, agent.Dynamic("Agent", redirect), func(_ context.Context, address string) (*url.URL, error) {
				opened = append(opened, address)
				u, err := url.Parse(address)
				if err != nil {
					return nil, err
				}
				if !response.Has("state") {
					response.Set("state", u.Query().Get("state"))
				}
				return url.Parse(redirect + "?" + response.Encode())
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Call(t.Context(), agent.Stateless); err == nil { // the honest one has no tool either
				t.Fatal("the call succeeded")
			}
			if len(opened) > 0 != tt.opens {
				t.Errorf("opened %q", opened)
			}
			if redeemed := slices.ContainsFunc(s.seen, isToken); redeemed != tt.redeem {
				t.Errorf("the code was redeemed: %t; requests: %q", redeemed, s.seen)
			}
		})
	}
}
