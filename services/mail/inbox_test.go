package mail

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"demo.example/services/internal/site"
)

// hostile is a mail that tries what the page must not let it do: run a script
// in the frame, and come back as a page through its attachment.
var hostile = []string{
	"Subject: hostile",
	"MIME-Version: 1.0",
	"Content-Type: multipart/mixed; boundary=b",
	"",
	"--b",
	"Content-Type: text/html",
	"",
	"<p>hello</p><script>document.title = 'stolen'</script>",
	"--b",
	"Content-Type: text/html",
	"Content-Disposition: inline",
	"Set-Cookie: session=planted; Domain=demo.localhost",
	"Access-Control-Allow-Origin: *",
	"Content-Security-Policy: script-src 'unsafe-inline'",
	"Location: https://evil.example/",
	"",
	"<script>alert(1)</script>",
	"--b--",
}

var nonceSource = regexp.MustCompile(`script-src 'nonce-([A-Z2-7]+)';`)

func TestPageRunsOnlyItsOwnScripts(t *testing.T) {
	r := start(t)
	nonces := map[string]bool{}
	for range 2 {
		got := r.request(t, http.MethodGet, "/")
		page, policy := got.Body, got.Header.Get("Content-Security-Policy")
		match := nonceSource.FindStringSubmatch(policy)
		if match == nil {
			t.Fatalf("no nonce in the policy: %s", policy)
		}
		nonces[match[1]] = true
		for _, want := range []string{
			"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'",
			"connect-src 'self' wss://mail.demo.localhost:8443;",
		} {
			if !strings.Contains(policy, want) {
				t.Errorf("policy lacks %q: %s", want, policy)
			}
		}
		// The numbers are those of MailHog v1.0.1's page. Another version
		// needs another look at what it loads.
		if got := strings.Count(page, `<script nonce="`+match[1]+`"`); got != 9 || strings.Count(page, "<script") != got {
			t.Errorf("got %d scripts with the nonce of %d, want all 9", got, strings.Count(page, "<script"))
		}
		if got := strings.Count(page, `<iframe sandbox="`+mailFrame+`"`); got != 1 || strings.Count(page, "<iframe") != got {
			t.Errorf("got %d sandboxed frames of %d, want the 1", got, strings.Count(page, "<iframe"))
		}
	}
	if len(nonces) != 2 {
		t.Error("two answers share a nonce")
	}
	if strings.Contains(mailFrame, "allow-scripts") {
		t.Error("the frame of a mail may run scripts")
	}
}

func TestAttachmentIsNoPage(t *testing.T) {
	r := start(t)
	send(t, r.smtp, hostile...)
	_, items := r.list(t)
	part := r.request(t, http.MethodGet, "/api/v1/messages/"+items[0].ID+"/mime/part/1/download")
	if part.Status != http.StatusOK || !strings.Contains(part.Body, "alert(1)") {
		t.Fatalf("got %d %q, want the attachment", part.Status, part.Body)
	}
	want := map[string]string{
		"Content-Disposition":         "attachment",
		"Content-Security-Policy":     "default-src 'none'; sandbox; frame-ancestors 'none'",
		"X-Content-Type-Options":      "nosniff",
		"Cache-Control":               "no-store",
		"Set-Cookie":                  "",
		"Access-Control-Allow-Origin": "",
		"Location":                    "",
	}
	for name, value := range want {
		if got := strings.Join(part.Header.Values(name), ", "); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
}

func TestOutageIsUnavailable(t *testing.T) {
	hog := newMailhog(&url.URL{Scheme: "http", Host: free(t)}, free(t))
	s := site.Site{Domain: "demo.localhost", HTTPSPort: 8443}
	rec := httptest.NewRecorder()
	newInbox(s, hog, slog.New(slog.DiscardHandler)).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("got %d with Retry-After %q, want 503 and when to try again", rec.Code, rec.Header().Get("Retry-After"))
	}
}
