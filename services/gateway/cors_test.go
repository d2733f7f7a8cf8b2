package gateway

import (
	"net/http"
	"strings"
	"testing"
)

func TestOriginOfTheResources(t *testing.T) {
	d := start(t)
	d.issue("opaque", nil)
	const inspector = "http://localhost:6274"
	tests := map[string]struct {
		origin  []string
		status  int
		allowed string // Access-Control-Allow-Origin
	}{
		"C2 absent":           {nil, 200, ""},
		"Inspector":           {[]string{inspector}, 200, inspector},
		"own":                 {[]string{"https://mcp.demo.localhost:8443"}, 200, "https://mcp.demo.localhost:8443"},
		"C2 foreign":          {[]string{"https://evil.example"}, 403, ""},
		"C2 null":             {[]string{"null"}, 403, ""},
		"C2 other port":       {[]string{"http://localhost:6275"}, 403, ""},
		"C2 other scheme":     {[]string{"https://localhost:6274"}, 403, ""},
		"C2 looks alike":      {[]string{"http://localhost:6274.evil.example"}, 403, ""},
		"C2 two":              {[]string{inspector, inspector}, 403, ""},
		"C2 empty":            {[]string{""}, 403, ""},
		"C2 inbox, same site": {[]string{"https://mail.demo.localhost:8443"}, 403, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d.forwarded()
			headers := []string{"Authorization", "Bearer opaque", "Sec-Fetch-Site", "cross-site"}
			for _, o := range tt.origin {
				headers = append(headers, "Origin", o)
			}
			resp, _ := d.do(t, "POST", testSite.MCPResource(), "{}", headers...)
			if resp.StatusCode != tt.status || resp.Header.Get("Access-Control-Allow-Origin") != tt.allowed {
				t.Errorf("got %d for %q, want %d for %q", resp.StatusCode, resp.Header.Get("Access-Control-Allow-Origin"), tt.status, tt.allowed)
			}
			if resp.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("credentials are allowed")
			}
			seen := withoutIntrospection(d.mcp.taken())
			if len(seen) != map[int]int{200: 1, 403: 0}[tt.status] {
				t.Errorf("the service saw %d requests", len(seen))
			}
			if len(seen) == 1 && (seen[0].Header["Origin"] != nil || seen[0].Header["Sec-Fetch-Site"] != nil) {
				t.Error("the service is left to judge the origin again")
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	d := start(t)
	ask := []string{"Origin", "http://127.0.0.1:6274", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,mcp-method"}
	resp, _ := d.do(t, "OPTIONS", testSite.MCPResource(), "", ask...)
	if resp.StatusCode != http.StatusNoContent || resp.Header.Get("Access-Control-Allow-Origin") != "http://127.0.0.1:6274" ||
		!strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Mcp-Method") || !strings.Contains(resp.Header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
	ask[1] = "https://evil.example"
	if resp, _ := d.do(t, "OPTIONS", testSite.MCPResource(), "", ask...); resp.StatusCode != http.StatusForbidden {
		t.Errorf("foreign origin: got %d, want 403", resp.StatusCode)
	}
	resp, _ = d.do(t, "POST", testSite.MCPResource(), "{}", "Origin", "http://localhost:6274")
	if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") ||
		resp.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a page cannot read the challenge: %d %v", resp.StatusCode, resp.Header)
	}
	if n := d.forwarded(); n != 0 {
		t.Errorf("%d requests were forwarded", n)
	}
}

// TestLoginAnswersItsOwnPreflights: which pages may call the authorization
// server is its own business.
func TestLoginAnswersItsOwnPreflights(t *testing.T) {
	d := start(t)
	d.do(t, "OPTIONS", testSite.Issuer()+"/token", "", "Origin", "https://page.example", "Access-Control-Request-Method", "POST")
	if seen := d.login.taken(); len(seen) != 1 || seen[0].Header.Get("Origin") != "https://page.example" {
		t.Errorf("the authorization server saw %v", seen)
	}
}

func TestInboxIsPrivate(t *testing.T) {
	d := start(t)
	own := testSite.Origin("mail")
	tests := map[string]struct {
		method  string
		headers []string
		status  int
	}{
		"program":           {"GET", nil, 200},
		"typed in":          {"GET", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		"own script":        {"DELETE", []string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, 200},
		"followed a link":   {"GET", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		"foreign script":    {"GET", []string{"Origin", "https://evil.example"}, 403},
		"login page":        {"GET", []string{"Origin", testSite.Issuer(), "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, 403},
		"no origin to name": {"POST", []string{"Origin", "null"}, 403},
		"two origins":       {"GET", []string{"Origin", own, "Origin", "https://evil.example"}, 403},
		"foreign image":     {"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
		"foreign frame":     {"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		"foreign form":      {"POST", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d.forwarded()
			resp, _ := d.do(t, tt.method, own+"/api/v2/messages", "", tt.headers...)
			if resp.StatusCode != tt.status {
				t.Errorf("got %d, want %d", resp.StatusCode, tt.status)
			}
			if n := d.forwarded(); (n == 1) != (tt.status == 200) {
				t.Errorf("%d requests were forwarded", n)
			}
		})
	}
}
