package gateway

import (
	"crypto/tls"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestErrorsTellNothing: attack G15. Every error that the gateway makes itself
// has the request's id and none of the inside, and is protected like any other
// answer (G14). A panic is tested where it is caught, in httpserver.
func TestErrorsTellNothing(t *testing.T) {
	d := start(t, "REQUESTS_PER_USER=1", "TOKEN_CACHE_TTL=1m")
	d.issue("good", nil)
	d.issue("for-api", map[string]any{"aud": testSite.APIResource(), "sub": "jane"})
	d.answer("outage", answerWith(http.StatusInternalServerError, "text/plain", "panic: pq: relation users_v2"))
	d.api.Close()
	if resp, _ := d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer good"); resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d", resp.StatusCode)
	}
	mcp := testSite.MCPResource()
	tests := map[string]struct {
		method, url, host, token string
		status                   int
	}{
		"bad path":                 {"GET", testSite.Origin("login") + "//x", "", "", 400},
		"no token":                 {"GET", mcp, "", "", 401},
		"bad token":                {"GET", mcp, "", "bad", 401},
		"no such path":             {"GET", mcp + "nothing", "", "", 404},
		"no such host":             {"GET", testSite.Origin("nothing") + "/", "", "", 404},
		"no such page":             {"GET", testSite.Origin("") + "/nothing", "", "", 404},
		"method":                   {"PROPFIND", mcp, "", "", 405},
		"body":                     {"POST", testSite.Origin("login") + "/token", "", "", 413},
		"foreign host":             {"GET", mcp, "evil.example", "", 421},
		"too many requests":        {"GET", mcp, "", "good", 429},
		"outage of the service":    {"GET", testSite.APIResource() + "/stocks", "", "for-api", 503},
		"outage of the issuer":     {"GET", mcp, "", "outage", 503},
		"health is not for others": {"GET", testSite.Origin("login") + "/healthz", "", "", 404},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			body := ""
			if tt.status == http.StatusRequestEntityTooLarge {
				body = strings.Repeat("a", 65<<10)
			}
			req, err := http.NewRequest(tt.method, tt.url, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			if tt.token != "" {
				req.Header.Set("Authorization", "Bearer "+tt.token)
			}
			resp, err := d.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer := new(strings.Builder)
			_ = resp.Header.Write(answer)
			if _, err := io.Copy(answer, resp.Body); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status {
				t.Errorf("got %d, want %d", resp.StatusCode, tt.status)
			}
			if resp.Header.Get("X-Request-Id") == "" {
				t.Error("G15 no id to quote")
			}
			for _, inside := range []string{"127.0.0.1", "goroutine", ".go:", "panic", "users_v2", "dial tcp", "Server:", "X-Powered-By", "stocksapi", "go1."} {
				if strings.Contains(answer.String(), inside) {
					t.Errorf("G15 the answer tells %q: %s", inside, answer)
				}
			}
			if got := resp.Header.Values("Strict-Transport-Security"); len(got) != 1 || got[0] != transportSecurity {
				t.Errorf("G14 Strict-Transport-Security: %q", got)
			}
			if got := resp.Header.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("G14 X-Content-Type-Options: %q", got)
			}
			if tt.token != "" && resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("G17 Cache-Control: %q", resp.Header.Get("Cache-Control"))
			}
			if tt.status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
}

// TestLogInjection: attack G16. Whatever a client sends, a request is one line
// of JSON of ASCII in the log, and what could steer a terminal is escaped.
func TestLogInjection(t *testing.T) {
	d := start(t)
	d.issue("good", map[string]any{
		"client_id": "https://evil.example/\r\n{\"msg\":\"token\",\"decision\":\"allow\"}", "sub": "\x1b[2Jjohn\u009b2J\u202e",
	})
	const host = "Host: mcp.demo.localhost:8443\r\nConnection: close\r\n"
	for name, request := range map[string]string{
		"line break in the path":   "GET /%0d%0a%7b%22msg%22:%22token%22%7d HTTP/1.1\r\n" + host + "\r\n",
		"escape in the path":       "GET /%1b%5b2J HTTP/1.1\r\n" + host + "\r\n",
		"C1 control in the path":   "GET /%c2%9b2J HTTP/1.1\r\n" + host + "\r\n",
		"quotes in the path":       `GET /","decision":"allow HTTP/1.1` + "\r\n" + host + "\r\n",
		"not UTF-8":                "GET /%ff%fe HTTP/1.1\r\n" + host + "\r\n",
		"escape in the user agent": "GET / HTTP/1.1\r\n" + host + "User-Agent: \x1b[2J\r\n\r\n",
		"tab and C1 in a header":   "GET / HTTP/1.1\r\n" + host + "User-Agent: a\tb\xc2\x9b2J\r\n\r\n",
		"long user agent":          "GET / HTTP/1.1\r\n" + host + "User-Agent: " + strings.Repeat("a", 1<<20) + "\r\n\r\n",
		"long token":               "GET / HTTP/1.1\r\n" + host + "Authorization: Bearer " + strings.Repeat("a", 20_000) + "\r\n\r\n",
		"odd token":                "GET / HTTP/1.1\r\n" + host + "Authorization: Bearer \x9b2J\r\n\r\n",
		"odd request id":           "GET / HTTP/1.1\r\n" + host + "X-Request-Id: x\",\"decision\":\"allow\r\n\r\n",
		"odd claims":               "GET / HTTP/1.1\r\n" + host + "Authorization: Bearer good\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := len(d.log.String())
			d.flood(t, request)
			written := d.log.String()[before:]
			for line := range strings.Lines(written) {
				var record map[string]any
				if err := json.Unmarshal([]byte(line), &record); err != nil {
					t.Fatalf("G16 not one line of JSON: %q", line)
				}
				if record["msg"] == "token" && record["decision"] == "allow" && name != "odd claims" {
					t.Errorf("G16 a decision that nobody took: %q", line)
				}
				if len(line) > 4096 {
					t.Errorf("G16 a line of %d bytes", len(line))
				}
			}
			for _, c := range written {
				if c < ' ' && c != '\n' || c >= 0x7f && c < 0xa0 || c == '\u202e' {
					t.Errorf("G16 %q is in the log: %q", c, written)
				}
			}
		})
	}
}

// flood is raw for requests that the gateway may refuse before they are read
// to the end.
func (d *deployment) flood(t *testing.T, request string) {
	t.Helper()
	conn := d.dial(t, &tls.Config{NextProtos: []string{"http/1.1"}})
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = conn.Write([]byte(request)) // fails when it was refused already
	answer := make([]byte, 1<<16)
	for {
		if _, err := conn.Read(answer); err != nil {
			return
		}
	}
}

// TestServerName: attack G14. Who asks for another name gets no connection,
// so no page of another site can be fetched from here by name.
func TestServerName(t *testing.T) {
	d := start(t)
	for name, ok := range map[string]bool{
		"mcp.demo.localhost": true, "demo.localhost": true, "nothing.demo.localhost": true, "": true, // an address
		"evil.example": false, "mcp.demo.localhost.evil.example": false, "a.mcp.demo.localhost": false, "stocksmcp": false,
	} {
		conn, err := tls.Dial("tcp", d.addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
		}
		if (err == nil) != ok {
			t.Errorf("G14 %q: %v", name, err)
		}
	}
}

// TestCertificatesAreVerified: attack G14. No code that is shipped turns the
// verification of certificates off.
func TestCertificatesAreVerified(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == "InsecureSkipVerify" {
				t.Errorf("G14 %s sets InsecureSkipVerify", path)
			}
			return true
		})
		return nil
	})
	if err != nil || files < 50 {
		t.Errorf("read %d files: %v", files, err)
	}
}

// TestMethodOverride: attack G11. The method is the one of the request line.
func TestMethodOverride(t *testing.T) {
	d := start(t)
	d.do(t, "POST", testSite.Origin("login")+"/token?_method=DELETE", "_method=DELETE",
		"X-HTTP-Method-Override", "DELETE", "X-HTTP-Method", "DELETE", "X-Method-Override", "DELETE", "Content-Type", "application/x-www-form-urlencoded")
	seen := d.login.taken()
	if len(seen) != 1 || seen[0].Method != "POST" {
		t.Fatalf("the service saw %v", seen)
	}
	for name := range seen[0].Header {
		if strings.Contains(strings.ToLower(name), "method") {
			t.Errorf("G11 %s passed", name)
		}
	}
}
