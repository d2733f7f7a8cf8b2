package authserver

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/store/sqlite"
)

// FuzzTokenForm: whatever is posted to the endpoints that take a form, the
// answer is a refusal in the form that OAuth has for one, and never a token:
// nobody was asked for consent.
func FuzzTokenForm(f *testing.F) {
	cfg := newConfig(f)
	db, err := sqlite.Open(f.Context(), cfg.DatabaseFile)
	if err != nil {
		f.Fatal(err)
	}
	defer db.Close()
	s, err := newServer(f.Context(), cfg, db, &mailbox{}, time.Now, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		f.Fatal(err)
	}
	routes := s.routes()
	for _, form := range []url.Values{
		redeemForm("mcp-inspector", "x"), exchangeForm("a.b.c", cfg.APIResource()), ownForm("client_id", "stocks-report", "client_secret", "x"),
		{"grant_type": {"refresh_token"}, "client_id": {"mcp-inspector"}, "refresh_token": {"x"}, "scope": {"a b"}, "resource": {"x", "y"}},
		{"grant_type": {deviceGrant}, "client_id": {"mcp-inspector"}, "device_code": {"x"}},
		{"client_id": {"mcp-inspector"}, "token": {"x"}, "token_type_hint": {"y"}},
	} {
		f.Add(form.Encode(), "")
		f.Add(form.Encode(), "Basic Z2F0ZXdheTp4")
	}
	f.Add("grant_type=%zz&client_id=mcp-inspector&x=;", "Basic !")
	f.Fuzz(func(t *testing.T, body, authorization string) {
		for _, path := range []string{"/token", "/revoke", "/introspect", "/par", "/device_authorization"} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if authorization != "" {
				req.Header["Authorization"] = []string{authorization}
			}
			w := httptest.NewRecorder()
			routes.ServeHTTP(w, req)
			ended := path == "/revoke" && w.Code == http.StatusOK // a token that is not there is as good as revoked (RFC 7009 §2.2)
			begun := (path == "/par" && w.Code == http.StatusCreated) || (path == "/device_authorization" && w.Code == http.StatusOK)
			if ended || begun {
				continue
			}
			var answer map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code < 400 || w.Code >= 500 || answer["error"] == nil || answer["access_token"] != nil {
				t.Errorf("%s %q, Authorization %q: %d %s", path, body, authorization, w.Code, w.Body)
			}
		}
	})
}
