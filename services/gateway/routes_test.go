package gateway

import (
	"cmp"
	"net/http"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	d := start(t)
	d.issue("for-mcp", nil)
	d.issue("for-api", map[string]any{"aud": testSite.APIResource()})
	token := map[string]string{"mcp": "for-mcp", "api": "for-api"}
	tests := map[string]struct {
		host, path string
		status     int
		upstream   *upstream // that sees the request; nil: none
	}{
		"login":                        {"login", "/authorize?client_id=x", 200, d.login},
		"login, metadata":              {"login", "/.well-known/oauth-authorization-server", 200, d.login},
		"login, health is inside":      {"login", "/healthz", 404, nil},
		"login, revocations inside":    {"login", "/revocations", 404, nil},
		"login, audit inside":          {"login", "/audit", 404, nil},
		"login, approvals inside":      {"login", "/approvals/x", 404, nil},
		"login, inside by default":     {"login", "/whatever-comes-next", 404, nil},
		"login, looks alike":           {"login", "/tokens", 404, nil},
		"login, below an endpoint":     {"login", "/token/x", 404, nil},
		"login, one registration":      {"login", "/register/x", 200, d.login},
		"login, style sheet":           {"login", "/static/style.css", 200, d.login},
		"login, home":                  {"login", "/", 200, d.login},
		"mcp":                          {"mcp", "/", 200, d.mcp},
		"mcp, other path":              {"mcp", "/mcp", 404, nil},
		"mcp, health is inside":        {"mcp", "/healthz", 404, nil},
		"mcp, metadata of the path":    {"mcp", "/.well-known/oauth-protected-resource/", 200, nil},
		"api":                          {"api", "/stocks", 200, d.api},
		"api, one stock":               {"api", "/stocks/ACME?x=1&y=2", 200, d.api},
		"api, orders":                  {"api", "/orders?limit=3", 200, d.api},
		"api, one order":               {"api", "/orders/1", 200, d.api},
		"api, description":             {"api", "/openapi.json", 200, d.api},
		"api, below the description":   {"api", "/openapi.json/x", 404, nil},
		"api, health is inside":        {"api", "/healthz", 404, nil},
		"api, looks alike":             {"api", "/stocksx", 404, nil},
		"G10 api, other case":          {"api", "/Stocks", 404, nil},
		"api, root":                    {"api", "/", 404, nil},
		"mail":                         {"mail", "/api/v2/messages", 200, d.mail},
		"mail, health is inside":       {"mail", "/healthz", 404, nil},
		"admin":                        {"admin", "/admin", 200, d.login},
		"admin, a page":                {"admin", "/admin/audit/story?request=x", 200, d.login},
		"admin, style sheet":           {"admin", "/static/style.css", 200, d.login},
		"admin, root":                  {"admin", "/", 404, nil},
		"admin, looks alike":           {"admin", "/administration", 404, nil},
		"admin is no issuer":           {"admin", "/token", 404, nil},
		"name that stands for nothing": {"nothing", "/", 404, nil},
		"landing page":                 {"", "/", 200, nil},
		"client document":              {"client", "/oauth-client.json", 200, nil},
		"client, other path":           {"client", "/", 404, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d.forwarded()
			headers := []string{"Authorization", "Bearer " + token[tt.host]}
			resp, _ := d.do(t, "GET", testSite.Origin(tt.host)+tt.path, "", headers...)
			if resp.StatusCode != tt.status {
				t.Errorf("got %d, want %d", resp.StatusCode, tt.status)
			}
			if tt.upstream != nil {
				seen := withoutIntrospection(tt.upstream.taken())
				if len(seen) != 1 || seen[0].RequestURI != tt.path || seen[0].Host != testSite.Host(tt.host) {
					t.Errorf("the service saw %v, want one request for %s", seen, tt.path)
				}
			}
			others := 0
			if tt.host == "" {
				others = 4 // the start page asks each service how it is
			}
			if n := d.forwarded(); n != others {
				t.Errorf("%d requests reached another service, want %d", n, others)
			}
		})
	}
}

// TestPublicPath: the description of the API needs no token, and neither gets
// one to see nor opens anything beside it.
func TestPublicPath(t *testing.T) {
	d := start(t)
	d.issue("for-api", map[string]any{"aud": testSite.APIResource()})
	for name, headers := range map[string][]string{
		"no token": nil, "bad token": {"Authorization", "Bearer unknown"}, "good token": {"Authorization", "Bearer for-api"},
	} {
		d.forwarded()
		resp, _ := d.do(t, "GET", testSite.Origin("api")+"/openapi.json", "", headers...)
		seen := withoutIntrospection(d.api.taken())
		if resp.StatusCode != 200 || len(seen) != 1 || seen[0].Header.Get("Authorization") != "" {
			t.Errorf("%s: %d, the service saw %v", name, resp.StatusCode, seen)
		}
	}
	for _, path := range []string{"/stocks", "/orders", "/orders/openapi.json", "/stocks/openapi.json"} {
		if resp, _ := d.do(t, "GET", testSite.Origin("api")+path, ""); resp.StatusCode != 401 {
			t.Errorf("%s without a token: %d", path, resp.StatusCode)
		}
	}
}

func TestUnknownHost(t *testing.T) {
	d := start(t)
	for name, host := range map[string]string{
		"C2 rebinding":      "evil.example:8443",
		"address":           "127.0.0.1:8443",
		"other port":        "mcp.demo.localhost:9",
		"no port":           "mcp.demo.localhost",
		"suffix alike":      "evildemo.localhost:8443",
		"prefix alike":      "mcp.demo.localhost:8443.evil.example",
		"trailing dot":      "mcp.demo.localhost.:8443",
		"name of a service": "stocksmcp:8082",
	} {
		t.Run(name, func(t *testing.T) {
			got := d.raw(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 421 ") {
				t.Errorf("got %.40q, want 421", got)
			}
		})
	}
	t.Run("other case is the same name", func(t *testing.T) {
		got := d.raw(t, "GET / HTTP/1.1\r\nHost: MAIL.demo.localhost:8443\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") || d.forwarded() != 1 {
			t.Errorf("got %.40q, want 200", got)
		}
	})
	if n := d.forwarded(); n != 0 {
		t.Errorf("%d requests were forwarded", n)
	}
}

func TestDefaultPortMayBeNamed(t *testing.T) {
	d := start(t, "HTTPS_PORT=443")
	for _, host := range []string{"mail.demo.localhost", "mail.demo.localhost:443"} {
		got := d.raw(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("%s: got %.40q, want 200", host, got)
		}
	}
}

func TestCredentialsGoWhereTheyBelong(t *testing.T) {
	d := start(t)
	jwt := d.issue("opaque", nil)
	tests := map[string]struct {
		upstream              *upstream
		authorization, cookie string // that the service sees
	}{
		"login": {d.login, "Bearer opaque", "a=b"}, // clients authenticate there, and sessions live there
		"admin": {d.login, "Bearer opaque", "a=b"},
		"mcp":   {d.mcp, "Bearer " + jwt, ""},
		"mail":  {d.mail, "", ""},
	}
	for host, tt := range tests {
		t.Run(host, func(t *testing.T) {
			d.forwarded()
			path := map[string]string{"admin": "/admin"}[host]
			d.do(t, "GET", testSite.Origin(host)+cmp.Or(path, "/"), "", "Authorization", "Bearer opaque", "Cookie", "a=b")
			seen := withoutIntrospection(tt.upstream.taken())
			if len(seen) != 1 {
				t.Fatalf("the service saw %d requests, want 1", len(seen))
			}
			if got := seen[0].Header.Values("Authorization"); strings.Join(got, "|") != tt.authorization {
				t.Errorf("Authorization: got %q, want %q", got, tt.authorization)
			}
			if got := seen[0].Header.Get("Cookie"); got != tt.cookie {
				t.Errorf("Cookie: got %q, want %q", got, tt.cookie)
			}
		})
	}
}

func withoutIntrospection(requests []*http.Request) []*http.Request {
	var others []*http.Request
	for _, r := range requests {
		if r.URL.Path != "/introspect" {
			others = append(others, r)
		}
	}
	return others
}
