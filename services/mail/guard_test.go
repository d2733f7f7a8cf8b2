package mail

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGuard(t *testing.T) {
	r := start(t)
	const own = "https://mail.demo.localhost:8443"
	const inbox = "/api/v2/messages"
	tests := map[string]struct {
		method, path string
		header       []string
		want         int
	}{
		"program":            {http.MethodGet, inbox, nil, 200},
		"own page":           {http.MethodGet, inbox, []string{"Origin", own, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, 200},
		"own page deletes":   {http.MethodDelete, "/api/v1/messages", []string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, 200},
		"address bar":        {http.MethodGet, "/", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		"link on other site": {http.MethodGet, "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		"link on our site":   {http.MethodGet, "/", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		"upper-case host":    {http.MethodGet, inbox, []string{"Host", "MAIL.demo.localhost:8443"}, 200},
		"foreign host":       {http.MethodGet, inbox, []string{"Host", "evil.example"}, 403},
		"rebound host":       {http.MethodGet, inbox, []string{"Host", "mail.demo.localhost.evil.example:8443"}, 403},
		"other port":         {http.MethodGet, inbox, []string{"Host", "mail.demo.localhost:8084"}, 403},
		"loopback host":      {http.MethodGet, inbox, []string{"Host", r.addr}, 403},
		"sibling host":       {http.MethodGet, inbox, []string{"Host", "login.demo.localhost:8443"}, 403},
		"foreign origin":     {http.MethodGet, inbox, []string{"Origin", "https://evil.example"}, 403},
		"sibling origin":     {http.MethodGet, inbox, []string{"Origin", "https://login.demo.localhost:8443"}, 403},
		"own origin on http": {http.MethodGet, inbox, []string{"Origin", "http://mail.demo.localhost:8443"}, 403},
		"null origin":        {http.MethodGet, inbox, []string{"Origin", "null"}, 403},
		"foreign image":      {http.MethodGet, inbox, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
		"sibling's script":   {http.MethodGet, inbox, []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, 403},
		"foreign frame":      {http.MethodGet, "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		"foreign deletion":   {http.MethodDelete, "/api/v1/messages", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403},
		"release":            {http.MethodPost, "/api/v1/messages/x/release", nil, 403},
		"chaos":              {http.MethodPost, "/api/v2/jim", nil, 403},
		"preflight":          {http.MethodOptions, inbox, nil, 403},
		"post to the health": {http.MethodPost, "/healthz", nil, 403},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := r.request(t, tt.method, tt.path, tt.header...)
			if got.Status != tt.want {
				t.Errorf("got %d, want %d: %s", got.Status, tt.want, got.Body)
			}
			if allowed := got.Header.Get("Access-Control-Allow-Origin"); allowed != "" {
				t.Errorf("Access-Control-Allow-Origin: got %q, want none", allowed)
			}
		})
	}
}

func TestWebSocket(t *testing.T) {
	r := start(t)
	tests := map[string]struct {
		origin string
		want   int
	}{
		"own page":       {"https://mail.demo.localhost:8443", http.StatusSwitchingProtocols},
		"foreign origin": {"https://evil.example", http.StatusForbidden},
		"null origin":    {"null", http.StatusForbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, strings.Join([]string{
				"GET /api/v2/websocket HTTP/1.1",
				"Host: mail.demo.localhost:8443",
				"Connection: Upgrade",
				"Upgrade: websocket",
				"Sec-WebSocket-Version: 13",
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", // RFC 6455 §1.3
				"Origin: " + tt.origin,
				"", "",
			}, "\r\n")); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Fatalf("got %s, want %d", resp.Status, tt.want)
			}
			if tt.want != http.StatusSwitchingProtocols {
				return
			}
			if diff := cmp.Diff("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", resp.Header.Get("Sec-WebSocket-Accept")); diff != "" {
				t.Errorf("Sec-WebSocket-Accept (-want +got):\n%s", diff)
			}
			// The page learns of new mails by it: a text frame (RFC 6455
			// §5.2). MailHog answers the handshake a moment before it
			// listens to its own news, so the first mail may be missed.
			var first byte
			eventually(t, r.log, func() bool {
				send(t, r.smtp, "Subject: pushed", "", "text")
				if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				first, err = in.ReadByte()
				return err == nil
			})
			if first != 0x81 {
				t.Errorf("got frame type %#x, want text", first)
			}
		})
	}
}
