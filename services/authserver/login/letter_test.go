package login

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"
)

// read returns the subject and the parts of a letter as a mail program sees
// them.
func read(t *testing.T, msg Message) (subject string, parts map[string]string) {
	t.Helper()
	m, err := NewSMTP("127.0.0.1:25", "login@demo.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	letter, err := m.letter(msg)
	if err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if _, err := letter.WriteTo(&raw); err != nil {
		t.Fatal(err)
	}
	got, err := mail.ReadMessage(&raw)
	if err != nil {
		t.Fatal(err)
	}
	order, parts, err := partsOf(got)
	if err != nil {
		t.Fatal(err)
	}
	if len(order) != 2 || order[0] != "text/plain" || order[1] != "text/html" {
		t.Fatalf("parts %v: the last is the one that is shown (RFC 2046 §5.1.4)", order)
	}
	return got.Header.Get("Subject"), parts
}

// partsOf returns the alternatives of a letter, decoded, by media type, and
// the order that they are in.
func partsOf(m *mail.Message) (order []string, parts map[string]string, err error) {
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || media != "multipart/alternative" {
		return nil, nil, fmt.Errorf("Content-Type %q: %w", m.Header.Get("Content-Type"), err)
	}
	parts = map[string]string{}
	for reader := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return order, parts, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if encoding := part.Header.Get("Content-Transfer-Encoding"); encoding != "quoted-printable" {
			return nil, nil, fmt.Errorf("encoding %q", encoding)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return nil, nil, err
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		parts[kind] = strings.ReplaceAll(string(body), "\r\n", "\n")
		order = append(order, kind)
	}
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

func TestLetter(t *testing.T) {
	subject, parts := read(t, Message{
		To: "john.doe@demo.example", Passcode: "12345678", Lifetime: 5 * time.Minute,
		ClientName: "Test <b>Agent</b>", Site: "https://login.demo.localhost:8443", IP: "::ffff:192.0.2.7", UserAgent: firefox,
	})
	if subject != "Your passcode" { // O10
		t.Errorf("subject %q", subject)
	}
	if first, _, _ := strings.Cut(parts["text/plain"], "\n"); first != "1234 5678" {
		t.Errorf("first line %q", first)
	}
	for kind, wants := range map[string][]string{
		"text/plain": {"“Test <b>Agent</b>”", "192.0.2.7", "Firefox", "https://login.demo.localhost:8443", "5 minutes"},
		"text/html":  {"1234 5678", "“Test &lt;b&gt;Agent&lt;/b&gt;”", "192.0.2.7", "Firefox", "https://login.demo.localhost:8443", "5 minutes"},
	} {
		for _, want := range wants {
			if !strings.Contains(parts[kind], want) {
				t.Errorf("%s lacks %q:\n%s", kind, want, parts[kind])
			}
		}
	}
	for _, remote := range []string{"src=", "href=", "url(", "<script", "<link", "@import"} {
		if strings.Contains(parts["text/html"], remote) {
			t.Errorf("the page has %q", remote)
		}
	}
}

func TestBrowserFamily(t *testing.T) {
	for userAgent, want := range map[string]string{
		firefox: "Firefox",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36":                        "Chrome",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0":          "Edge",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/120.0.0.0":          "Opera",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15":                  "Safari",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0 Mobile/15E148 Safari/604.1": "Chrome",
		"curl/8.0":             "an unknown browser",
		"":                     "an unknown browser",
		"<script>\r\nX: y":     "an unknown browser",
		"Firefox/<b>1\r\n9999": "Firefox",
	} {
		if got := browserFamily(userAgent); got != want {
			t.Errorf("%q: %q, want %q", userAgent, got, want)
		}
	}
}

// FuzzLetter: whatever strangers write, the passcode stays the first line, and
// the page has the tags of the template and no others.
func FuzzLetter(f *testing.F) {
	f.Add("Test Agent", "192.0.2.7", firefox)
	f.Add("<script>alert(1)</script>", "fe80::1%<b>", "Edg/\x00")
	f.Add("a\r\n9999 9999\r\n\u202e", "", "Safari/\n")
	f.Add("{{.Site}}", "1.2.3.4.5", "<img src=x>")
	f.Fuzz(func(t *testing.T, client, ip, userAgent string) {
		if len(client) > 1000 {
			return
		}
		_, parts := read(t, Message{To: "john.doe@demo.example", Passcode: "12345678", Lifetime: time.Minute, ClientName: client, Site: "https://login.example", IP: ip, UserAgent: userAgent})
		lines := strings.Split(parts["text/plain"], "\n")
		if lines[0] != "1234 5678" || len(lines) != strings.Count(letterText, "\n")+1 {
			t.Errorf("text: %q", parts["text/plain"])
		}
		if got, want := strings.Count(parts["text/html"], "<"), strings.Count(letterHTML, "<"); got != want {
			t.Errorf("%d tags, want %d: %q", got, want, parts["text/html"])
		}
	})
}
