package token_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
	"demo.example/services/internal/token/tokentest"
)

func TestGuard(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	good := issuer.Sign(issuer.Claims(audience))
	bad := issuer.Sign(issuer.Claims("https://mcp.demo.localhost:8443/"))
	const where = `scope="stocks/read", resource_metadata="https://api.demo.localhost:8443/.well-known/oauth-protected-resource"`
	type answer struct {
		Status                int
		Challenge, RetryAfter string
		Called                bool
	}
	tests := map[string]struct {
		headers []string
		down    bool
		want    answer
	}{
		"good":              {[]string{"Bearer " + good}, false, answer{Status: 200, Called: true}},
		"lower-case scheme": {[]string{"bearer " + good}, false, answer{Status: 200, Called: true}},
		"none":              {nil, false, answer{Status: 401, Challenge: "Bearer " + where}},
		"Basic":             {[]string{"Basic dTpw"}, false, answer{Status: 401, Challenge: "Bearer " + where}},
		"bad":               {[]string{"Bearer " + bad}, false, answer{Status: 401, Challenge: `Bearer error="invalid_token", ` + where}},
		"opaque":            {[]string{"Bearer 2YotnFZFEjr1zCsicMWpAA"}, false, answer{Status: 401, Challenge: `Bearer error="invalid_token", ` + where}},
		"two headers":       {[]string{"Bearer " + good, "Bearer " + good}, false, answer{Status: 400, Challenge: `Bearer error="invalid_request", ` + where}},
		"good, then Basic":  {[]string{"Bearer " + good, "Basic dTpw"}, false, answer{Status: 400, Challenge: `Bearer error="invalid_request", ` + where}},
		"two tokens":        {[]string{"Bearer " + good + " " + good}, false, answer{Status: 400, Challenge: `Bearer error="invalid_request", ` + where}},
		"comma-joined":      {[]string{"Bearer " + good + ",Bearer " + good}, false, answer{Status: 400, Challenge: `Bearer error="invalid_request", ` + where}},
		"no token":          {[]string{"Bearer"}, false, answer{Status: 400, Challenge: `Bearer error="invalid_request", ` + where}},
		"keys out of reach": {[]string{"Bearer " + good}, true, answer{Status: 503, RetryAfter: "2"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			issuer.Down.Store(tt.down)
			var logged bytes.Buffer
			var got answer
			guard := token.Guard{
				Verifier:         newVerifier(issuer),
				Scope:            "stocks/read",
				ResourceMetadata: "https://api.demo.localhost:8443/.well-known/oauth-protected-resource",
				Log:              slog.New(slog.NewJSONHandler(&logged, nil)),
			}
			handler := guard.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got.Called = true
				if claims := token.ClaimsFrom(r.Context()); claims == nil || claims.Subject != "user-1" {
					t.Errorf("claims %+v", claims)
				}
				if token.RawFrom(r.Context()) != good {
					t.Error("not the raw token")
				}
			}))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Authorization"] = tt.headers
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			got.Status, got.Challenge, got.RetryAfter = w.Code, w.Header().Get("WWW-Authenticate"), w.Header().Get("Retry-After")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if s := logged.String() + w.Body.String(); strings.Contains(s, good) || strings.Contains(s, bad) {
				t.Error("a token is in the log or the answer")
			}
		})
	}
	if token.ClaimsFrom(t.Context()) != nil || token.RawFrom(t.Context()) != "" {
		t.Error("claims without a guard")
	}
}
