package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestServiceDown(t *testing.T) {
	d := start(t)
	d.issue("for-mcp", nil)
	d.issue("for-api", map[string]any{"aud": testSite.APIResource()})
	d.mcp.Close()
	d.api.Close()
	d.mail.Close()
	for _, tt := range []struct{ url, token string }{
		{testSite.MCPResource(), "for-mcp"}, {testSite.APIResource() + "/stocks", "for-api"}, {testSite.Origin("mail") + "/", ""},
	} {
		resp, body := d.do(t, "GET", tt.url, "", "Authorization", "Bearer "+tt.token)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %v, want a 503 problem with Retry-After", tt.url, resp.StatusCode, resp.Header)
		}
		if strings.Contains(body, "127.0.0.1") || strings.Contains(body, "dial") {
			t.Errorf("G15 %s: the answer shows the inside: %s", tt.url, body)
		}
	}
}

func TestServiceHangsUp(t *testing.T) {
	d := start(t)
	d.issue("opaque", nil)
	d.mcp.serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	resp, _ := d.do(t, "POST", testSite.MCPResource(), "{}", "Authorization", "Bearer opaque")
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", resp.StatusCode)
	}
}

func TestAnswersAreNobodyElses(t *testing.T) {
	d := start(t)
	d.issue("opaque", nil)
	for name, tt := range map[string]struct{ sent, want string }{
		"G17 service says nothing": {"", "no-store"},
		"G17 service knows best":   {"private, max-age=5", "private, max-age=5"},
	} {
		t.Run(name, func(t *testing.T) {
			d.mcp.serve(func(w http.ResponseWriter, _ *http.Request) {
				h := w.Header()
				h.Set("Server", "secret/1.0")
				h.Set("X-Powered-By", "secret")
				h.Set("Access-Control-Allow-Origin", "*")
				h.Set("Access-Control-Allow-Credentials", "true")
				h.Set("X-Request-Id", "other")
				h.Set("X-Content-Type-Options", "nosniff")
				if tt.sent != "" {
					h.Set("Cache-Control", tt.sent)
				}
			})
			resp, _ := d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer opaque")
			if got := resp.Header.Get("Cache-Control"); got != tt.want {
				t.Errorf("Cache-Control: got %q, want %q", got, tt.want)
			}
			if got := strings.Join(resp.Header.Values("Vary"), ", "); !strings.Contains(got, "Authorization") || !strings.Contains(got, "Origin") {
				t.Errorf("Vary: %q", got)
			}
			for _, name := range []string{"Server", "X-Powered-By", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"} {
				if resp.Header.Get(name) != "" {
					t.Errorf("%s: %q came through", name, resp.Header.Get(name))
				}
			}
			for _, name := range []string{"X-Request-Id", "X-Content-Type-Options", "Strict-Transport-Security"} {
				if got := resp.Header.Values(name); len(got) != 1 || got[0] == "other" {
					t.Errorf("%s: %q", name, got)
				}
			}
		})
	}
}

func TestRequestIDTravels(t *testing.T) {
	d := start(t)
	d.issue("opaque", nil)
	resp, _ := d.do(t, "POST", testSite.MCPResource(), "{}", "Authorization", "Bearer opaque")
	id := resp.Header.Get("X-Request-Id")
	if seen := d.mcp.taken(); len(seen) != 1 || id == "" || seen[0].Header.Get("X-Request-Id") != id {
		t.Errorf("the MCP server got another id than %q", id)
	}
	if seen := d.login.taken(); len(seen) != 1 || seen[0].Header.Get("X-Request-Id") != id {
		t.Errorf("the authorization server got another id than %q", id)
	}
}

// TestStream checks, for both versions of HTTP, that an event is seen when it
// happens, and that the service learns when nobody listens any more.
func TestStream(t *testing.T) {
	d := start(t)
	d.issue("opaque", nil)
	next, gone := make(chan string), make(chan struct{}, 1)
	d.mcp.serve(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case event := <-next:
				fmt.Fprintf(w, "data: %s\n\n", event)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				gone <- struct{}{}
				return
			}
		}
	})
	roots := d.client.Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			client := &http.Client{Transport: &http.Transport{
				DialContext: d.client.Transport.(*http.Transport).DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: h2,
			}}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "POST", testSite.MCPResource(), strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer opaque")
			go func() { next <- "first" }()
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if (resp.ProtoMajor == 2) != h2 {
				t.Errorf("spoke %s", resp.Proto)
			}
			events := bufio.NewScanner(resp.Body)
			for _, event := range []string{"first", "second"} {
				if event != "first" {
					next <- event
				}
				if !events.Scan() || events.Text() != "data: "+event {
					t.Fatalf("got %q, want the %s event", events.Text(), event)
				}
				events.Scan() // the empty line after it
			}
			cancel()
			select {
			case <-gone:
			case <-time.After(time.Second):
				t.Error("C9 the service was not told within a second")
			}
		})
	}
}

func TestWebSocket(t *testing.T) {
	d := start(t)
	d.issue("opaque", nil)
	echo := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\nConnection: Upgrade\r\n\r\n")
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(conn, line)
	}
	d.mail.serve(echo)
	d.login.serve(echo)
	own := "Origin: " + testSite.Origin("mail") + "\r\n"
	tests := map[string]struct {
		host, upgrade, headers, want string
	}{
		"own page":          {"mail", "websocket", own, "HTTP/1.1 101 "},
		"program":           {"mail", "websocket", "", "HTTP/1.1 101 "},
		"foreign page":      {"mail", "websocket", "Origin: https://evil.example\r\n", "HTTP/1.1 403 "},
		"page without name": {"mail", "websocket", "Origin: null\r\n", "HTTP/1.1 403 "},
		"other protocol":    {"mail", "h2c", own, "HTTP/1.1 200 "},
		"other service":     {"login", "websocket", "", "HTTP/1.1 200 "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conn := d.dial(t, &tls.Config{NextProtos: []string{"http/1.1"}})
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s\r\n", testSite.Host(tt.host), tt.upgrade, tt.headers)
			r := bufio.NewReader(conn)
			status, err := r.ReadString('\n')
			if err != nil || !strings.HasPrefix(status, tt.want) {
				t.Fatalf("got %q (%v), want %s", status, err, tt.want)
			}
			if !strings.Contains(status, "101") {
				return
			}
			for line := ""; line != "\r\n"; {
				if line, err = r.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			_, _ = io.WriteString(conn, "ping\n")
			if line, err := r.ReadString('\n'); line != "ping\n" {
				t.Errorf("got %q (%v), want the echo", line, err)
			}
		})
	}
}
