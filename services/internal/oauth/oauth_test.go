package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/oauth"
)

// TestChallenge: what clients read to find out how to get a token, to the
// letter.
func TestChallenge(t *testing.T) {
	const metadata = "https://mcp.demo.example/.well-known/oauth-protected-resource"
	tests := map[string]struct {
		challenge oauth.Challenge
		want      string
		status    int
	}{
		"nothing known": {oauth.Challenge{}, `Bearer`, 401},
		"no token":      {oauth.Challenge{Scope: "stocks/read", ResourceMetadata: metadata}, `Bearer scope="stocks/read", resource_metadata="` + metadata + `"`, 401},
		"invalid token": {oauth.Challenge{Error: "invalid_token", Description: "get a new one", ResourceMetadata: metadata},
			`Bearer error="invalid_token", error_description="get a new one", resource_metadata="` + metadata + `"`, 401},
		"insufficient scope": {oauth.Challenge{Error: "insufficient_scope", Scope: "stocks/read stocks/trade", ResourceMetadata: metadata},
			`Bearer error="insufficient_scope", scope="stocks/read stocks/trade", resource_metadata="` + metadata + `"`, 403},
		"malformed": {oauth.Challenge{Error: "invalid_request"}, `Bearer error="invalid_request"`, 400},
	}
	for name, tt := range tests {
		w := httptest.NewRecorder()
		tt.challenge.Write(w)
		want := http.Header{"Www-Authenticate": {tt.want}, "Cache-Control": {"no-store"}}
		if diff := cmp.Diff(want, w.Header()); diff != "" || w.Code != tt.status || w.Body.Len() != 0 {
			t.Errorf("%s: %d, body %q, header (-want +got):\n%s", name, w.Code, w.Body, diff)
		}
	}
}

func TestHasScope(t *testing.T) {
	for _, tt := range []struct {
		scope, want string
		has         bool
	}{
		{"stocks/read", "stocks/read", true},
		{"openid stocks/read email", "stocks/read", true},
		{"stocks/read", "stocks", false},
		{"stocks/readonly", "stocks/read", false},
		{"Stocks/Read", "stocks/read", false},
		{"stocks/read\topenid", "openid", false},
		{"stocks/read,openid", "openid", false},
		{"", "stocks/read", false},
		{"a b", "a b", false},
	} {
		if got := oauth.HasScope(tt.scope, tt.want); got != tt.has {
			t.Errorf("HasScope(%q, %q) = %v", tt.scope, tt.want, got)
		}
	}
}

// TestErrors: status, and what a client needs beside it (RFC 6749 §5.2).
func TestErrors(t *testing.T) {
	for code, tt := range map[string]struct {
		err    *oauth.Error
		status int
		header http.Header // beside those of all
	}{
		"invalid_request":         {oauth.InvalidRequest("d"), 400, nil},
		"invalid_grant":           {oauth.InvalidGrant("d"), 400, nil},
		"invalid_scope":           {oauth.InvalidScope("d"), 400, nil},
		"invalid_target":          {oauth.InvalidTarget("d"), 400, nil},
		"unauthorized_client":     {oauth.UnauthorizedClient("d"), 400, nil},
		"access_denied":           {oauth.AccessDenied("d"), 403, nil},
		"invalid_client":          {oauth.InvalidClient(), 401, http.Header{"Www-Authenticate": {`Basic realm="authorization server"`}}},
		"temporarily_unavailable": {oauth.Unavailable(), 503, http.Header{"Retry-After": {"2"}}},
	} {
		w := httptest.NewRecorder()
		tt.err.Write(w)
		want := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}
		for name, values := range tt.header {
			want[name] = values
		}
		body := `{"error":"` + code + `","error_description":"` + tt.err.Description + `"}` + "\n"
		if diff := cmp.Diff(want, w.Header()); diff != "" || w.Code != tt.status || w.Body.String() != body || tt.err.Description == "" {
			t.Errorf("%s: %d %s, header (-want +got):\n%s", code, w.Code, w.Body, diff)
		}
		if tt.err.Error() != code+": "+tt.err.Description {
			t.Errorf("%s: as an error: %v", code, tt.err)
		}
	}
}

// TestSetClientAuth: a secret may have any character, and the id of a client
// may be a URL.
func TestSetClientAuth(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/token", nil)
	oauth.SetClientAuth(r, "https://client.example/a b", "s%c:r+t/")
	if id, secret, ok := r.BasicAuth(); !ok || id != "https%3A%2F%2Fclient.example%2Fa+b" || secret != "s%25c%3Ar%2Bt%2F" {
		t.Errorf("%q, %q, %t", id, secret, ok)
	}
}
