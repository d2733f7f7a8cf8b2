package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"demo.example/services/internal/httpserver"
)

func TestGuardRefuses(t *testing.T) {
	d := start(t)
	const rest = "Host: login.demo.localhost:8443\r\nConnection: close\r\n\r\n"
	tests := map[string]struct {
		request string // its first line, or all of it
		status  int
	}{
		"G10 two slashes":             {"GET //x HTTP/1.1", 400},
		"G10 two slashes inside":      {"GET /a//x HTTP/1.1", 400},
		"G10 dot dot":                 {"GET /mcp/../admin HTTP/1.1", 400},
		"G10 dot":                     {"GET /./x HTTP/1.1", 400},
		"G10 dot dot at the end":      {"GET /x/.. HTTP/1.1", 400},
		"G10 encoded dot dot":         {"GET /mcp/%2e%2e/x HTTP/1.1", 400},
		"G10 half-encoded dot dot":    {"GET /mcp/.%2E/x HTTP/1.1", 400},
		"G10 encoded slash":           {"GET /mcp/..%2fx HTTP/1.1", 400},
		"G10 encoded slash, upper":    {"GET /a%2Fb HTTP/1.1", 400},
		"G10 encoded backslash":       {"GET /a%5cb HTTP/1.1", 400},
		"G10 backslash":               {`GET /a\b HTTP/1.1`, 400},
		"G10 doubly encoded":          {"GET /%252e%252e/x HTTP/1.1", 400},
		"G10 matrix parameter":        {"GET /mcp;x HTTP/1.1", 400},
		"G10 encoded semicolon":       {"GET /mcp%3bx HTTP/1.1", 400},
		"G10 NUL":                     {"GET /a%00 HTTP/1.1", 400},
		"G10 encoded line break":      {"GET /a%0d%0ab HTTP/1.1", 400},
		"G10 bad encoding":            {"GET /a%zz HTTP/1.1", 400},
		"G10 fragment":                {"GET /a#b HTTP/1.1", 400},
		"G10 raw byte":                {"GET /\xff HTTP/1.1", 400},
		"absolute form":               {"GET http://login.demo.localhost:8443/x HTTP/1.1", 400},
		"absolute form, other host":   {"GET https://stocksmcp:8082/x HTTP/1.1", 400},
		"asterisk form":               {"OPTIONS * HTTP/1.1", 400},
		"G11 TRACE":                   {"TRACE / HTTP/1.1", 405},
		"G11 CONNECT":                 {"CONNECT login.demo.localhost:8443 HTTP/1.1", 405},
		"G11 unknown method":          {"PROPFIND / HTTP/1.1", 405},
		"G12 long query":              {"GET /?" + strings.Repeat("a", httpserver.MaxQuery+1) + " HTTP/1.1", 400},
		"G12 many parameters":         {"GET /?" + strings.Repeat("a&", httpserver.MaxParams) + " HTTP/1.1", 400},
		"G12 headers over 32 kB":      {"GET / HTTP/1.1\r\nA: " + strings.Repeat("a", 40<<10), 431},
		"userinfo in Host":            {"GET / HTTP/1.1\r\nHost: mcp.demo.localhost:8443@login.demo.localhost:8443\r\nConnection: close\r\n\r\n", 400},
		"two Hosts":                   {"GET / HTTP/1.1\r\nHost: mcp.demo.localhost:8443", 400},
		"G8 different lengths":        {"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4", 400},
		"G8 length with sign":         {"POST / HTTP/1.1\r\nContent-Length: +1", 400},
		"G8 two transfer encodings":   {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501},
		"G8 unknown encoding":         {"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked", 501},
		"G8 space before the colon":   {"POST / HTTP/1.1\r\nTransfer-Encoding : chunked", 400},
		"G8 header on two lines":      {"POST / HTTP/1.1\r\nA: b\r\n c: d\r\n Transfer-Encoding : chunked\r\nB :c", 400},
		"G8 line break in the header": {"GET / HTTP/1.1\r\nA: b\x00c", 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			request := tt.request
			if !strings.HasSuffix(request, "\r\n\r\n") {
				request += "\r\n" + rest
			}
			got := d.raw(t, request)
			if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", tt.status)) {
				t.Errorf("got %.60q, want %d", got, tt.status)
			}
			if n := d.forwarded(); n != 0 {
				t.Errorf("%d requests were forwarded", n)
			}
		})
	}
}

// TestLongestQuery: what just is within the limits passes (G12), since services
// send browsers to such addresses.
func TestLongestQuery(t *testing.T) {
	d := start(t)
	for name, query := range map[string]string{
		"bytes": strings.Repeat("a", httpserver.MaxQuery), "parameters": strings.Repeat("a&", httpserver.MaxParams-1) + "a",
	} {
		before := d.forwarded()
		if got := d.raw(t, "GET /?"+query+" HTTP/1.1\r\nHost: login.demo.localhost:8443\r\nConnection: close\r\n\r\n"); d.forwarded() != before+1 {
			t.Errorf("%s: %.60q", name, got)
		}
	}
}

// TestOneRequestIsOneRequest sends what a second server could read as two.
func TestOneRequestIsOneRequest(t *testing.T) {
	d := start(t)
	const head = "POST /token HTTP/1.1\r\nHost: login.demo.localhost:8443\r\n"
	tests := map[string]struct {
		request string
		body    string // that the service may see; - means that it sees none
	}{
		"G8 length and chunks":  {head + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: login.demo.localhost:8443\r\n\r\n", ""},
		"G8 same length twice":  {head + "Content-Length: 3\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", "abc"},
		"G8 bare LF in a chunk": {head + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\nabc\r\n0\r\n\r\n", "-"},
		"G8 wrong chunk length": {head + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", "-"},
		"G1 trailers":           {head + "Transfer-Encoding: chunked\r\nTrailer: X-User\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-User: root\r\n\r\n", "abc"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := d.raw(t, tt.request)
			d.login.mu.Lock()
			bodies := d.login.bodies
			d.login.mu.Unlock()
			seen := d.login.taken()
			if tt.body == "-" {
				if len(seen) != 0 || !strings.HasPrefix(got, "HTTP/1.1 400 ") {
					t.Errorf("the service saw %q, the client %.60q, want 400", bodies, got)
				}
				return
			}
			if len(seen) != 1 || bodies[0] != tt.body || seen[0].URL.Path != "/token" || len(seen[0].Trailer) != 0 {
				t.Errorf("the service saw %q (%v), want one request with %q", bodies, seen, tt.body)
			}
		})
	}
}

func TestClaimedIdentityIsDropped(t *testing.T) {
	d := start(t)
	_, _ = d.do(t, "GET", testSite.Origin("login")+"/", "",
		"X-User", "root", "x-user-id", "root", "X_User", "root", "x_user", "root", "X-Forwarded-User", "root", "X-Forwarded-For", "6.6.6.6",
		"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-Prefix", "/x", "Forwarded", "for=6.6.6.6", "X-Real-IP", "6.6.6.6",
		"X-Request-Id", "chosen-by-the-client", "X-HTTP-Method-Override", "DELETE", "X-Original-URL", "/healthz", "X-JWT", "a.b.c",
		"Remote-User", "root", "True-Client-IP", "6.6.6.6", "Accept", "text/plain")
	seen := d.login.taken()
	if len(seen) != 1 {
		t.Fatalf("the service saw %d requests, want 1", len(seen))
	}
	h := seen[0].Header
	want := map[string]string{
		"Accept": "text/plain", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "login.demo.localhost:8443", "X-Forwarded-Proto": "https",
	}
	for name, value := range want {
		if got := strings.Join(h.Values(name), "|"); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	if id := h.Get("X-Request-Id"); id == "" || id == "chosen-by-the-client" {
		t.Errorf("X-Request-Id: got %q, want one that the gateway made", id)
	}
	for _, name := range []string{"Accept", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "Accept-Encoding", "User-Agent"} {
		h.Del(name)
	}
	if len(h) != 0 {
		t.Errorf("G1 these passed: %v", h)
	}
}

// FuzzPath: attack G10. A path that passes has one meaning: cleaned, decoded
// again or cut into segments, it stays the same.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "/a", "/a/b/", "//", "/./a", "/a/../b", "/%2e", "/a%2fb", "/a;b", "/%00", "/%c3%a9", "/a%5cb", "/%25", "/a b", "/é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !strings.HasPrefix(raw, "/") || checkPath(raw) != nil {
			return
		}
		decoded, err := url.PathUnescape(raw)
		if err != nil {
			t.Fatalf("%q passes and is not well encoded", raw)
		}
		if again, err := url.PathUnescape(decoded); err != nil || again != decoded {
			t.Errorf("%q becomes %q, and then %q", raw, decoded, again)
		}
		if cleaned := path.Clean(decoded); cleaned != decoded && cleaned+"/" != decoded {
			t.Errorf("%q is %q, which cleans to %q", raw, decoded, cleaned)
		}
		if strings.ContainsAny(decoded, "\\;\x00\r\n") || strings.Count(decoded, "/") != strings.Count(raw, "/") {
			t.Errorf("%q passes as %q", raw, decoded)
		}
	})
}

func TestBodyLimits(t *testing.T) {
	d := start(t)
	d.issue("opaque", nil)
	d.issue("for-api", map[string]any{"aud": testSite.APIResource()})
	for host, token := range map[string]string{"login": "", "mcp": "opaque", "api": "for-api", "mail": ""} {
		path := map[string]string{"api": "/orders"}[host]
		for _, tt := range []struct {
			name    string
			size    int
			chunked bool
			status  int
		}{
			{"at the limit", 64 << 10, false, 200},
			{"at the limit, chunked", 64 << 10, true, 200},
			{"G12 above", 64<<10 + 1, false, 413},
			{"G12 above, chunked", 64<<10 + 1, true, 413},
		} {
			t.Run(host+" "+tt.name, func(t *testing.T) {
				d.forwarded()
				req, err := http.NewRequest("POST", testSite.Origin(host)+cmp.Or(path, "/"), strings.NewReader(strings.Repeat("a", tt.size)))
				if err != nil {
					t.Fatal(err)
				}
				if tt.chunked {
					req.ContentLength = -1
				}
				req.Header.Set("Authorization", "Bearer "+token)
				resp, err := d.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != tt.status {
					t.Errorf("got %d, want %d", resp.StatusCode, tt.status)
				}
				if n := d.forwarded(); tt.status == 413 && n != 0 {
					t.Errorf("%d requests were forwarded", n)
				}
			})
		}
	}
}
