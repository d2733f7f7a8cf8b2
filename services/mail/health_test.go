package mail

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	hog := startMailHog(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, never greets
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	nobody := free(t)

	tests := map[string]struct {
		smtp, api  string
		wantStatus int
		wantReason string
	}{
		"all well":         {hog.SMTPAddr, hog.URL.Host, http.StatusOK, ""},
		"no SMTP":          {nobody, hog.URL.Host, http.StatusServiceUnavailable, "SMTP"},
		"no SMTP greeting": {silent.Addr().String(), hog.URL.Host, http.StatusServiceUnavailable, "SMTP"},
		"no API":           {hog.SMTPAddr, nobody, http.StatusServiceUnavailable, "API"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			asked := *hog
			asked.SMTPAddr = tt.smtp
			asked.URL = &url.URL{Scheme: "http", Host: tt.api}
			rec := httptest.NewRecorder()
			health{MailHog: &asked, Log: slog.New(slog.DiscardHandler)}.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/healthz", nil))
			var got struct{ Status, Reason string }
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if rec.Code != tt.wantStatus || (got.Status == "ok") != (tt.wantReason == "") || !strings.Contains(got.Reason, tt.wantReason) {
				t.Errorf("got %d %+v, want %d and a reason with %q", rec.Code, got, tt.wantStatus, tt.wantReason)
			}
		})
	}
}

func TestHealthIsAskedUnderAnyName(t *testing.T) {
	r := start(t)
	got := r.request(t, http.MethodGet, "/healthz", "Host", "10.0.0.1")
	if got.Status != http.StatusOK || strings.TrimSpace(got.Body) != `{"status":"ok"}` {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
}

// startMailHog runs MailHog without the service around it until the test ends.
func startMailHog(t *testing.T) *mailhog {
	t.Helper()
	hog := newMailhog(&url.URL{Scheme: "http", Host: free(t)}, free(t))
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- runChild(ctx, mailhogBin, hog) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	h := health{MailHog: hog}
	eventually(t, &buffer{}, func() bool {
		ctx, cancel := context.WithTimeout(ctx, healthTime)
		defer cancel()
		return h.smtp(ctx) == nil && h.api(ctx) == nil
	})
	return hog
}
