package authserver

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// identity signs in for a scope, with the resource as given, and returns the
// token answer.
func (h *harness) identity(client, scope, resource string) map[string]any {
	h.Helper()
	query := h.authorizeQuery(client)
	query.Set("scope", scope)
	query.Set("nonce", "n1")
	query.Del("resource")
	if resource != "" {
		query.Set("resource", resource)
	}
	a := h.post(h.newBrowser(), "/token", redeemForm(client, h.code(query, john)))
	if a.Status != http.StatusOK {
		h.Fatalf("token: %d %s", a.Status, a.Body)
	}
	return a.JSON
}

// TestUserInfo: who asks only who the user is gets a token for this server,
// which is good here and nowhere else (X11).
func TestUserInfo(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	ask := func(method, token string, header ...string) answer {
		if token != "" {
			header = append(header, "Authorization", "Bearer "+token)
		}
		return h.do(h.newBrowser(), h.request(method, "/userinfo", "", header...))
	}
	user, err := h.db.UserByEmail(t.Context(), john)
	if err != nil {
		t.Fatal(err)
	}
	full := map[string]any{"sub": user.ID, "email": john, "email_verified": true}
	for name, test := range map[string]struct {
		scope, resource string
		want            map[string]any
	}{
		"identity scopes alone":           {"openid email", "", full},
		"the issuer as resource":          {"openid email", h.cfg.Issuer(), full},
		"the issuer with a slash":         {"openid email", h.cfg.Issuer() + "/", full},
		"the issuer and nothing of scope": {"", h.cfg.Issuer(), map[string]any{"sub": user.ID}},
		"without email":                   {"openid", "", map[string]any{"sub": user.ID}},
	} {
		tokens := h.identity(agent, test.scope, test.resource)
		access := tokens["access_token"].(string)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			a := ask(method, access)
			if diff := cmp.Diff(test.want, a.JSON); diff != "" || a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %s: %d (-want +got):\n%s", name, method, a.Status, diff)
			}
		}
		if got := h.introspected(access); !cmp.Equal(got, map[string]any{"active": false}) {
			t.Errorf("%s: the gateway sees the token: %v", name, got)
		}
		// The ID token that came with it.
		_, id := claimsOf(t, tokens["id_token"].(string))
		sum := sha256.Sum256([]byte(access))
		if id["at_hash"] != base64.RawURLEncoding.EncodeToString(sum[:16]) || id["nonce"] != "n1" || id["acr"] != "urn:demo:acr:email-otp" || id["auth_time"] == nil || id["aud"] != agent || (id["email"] != nil) != strings.Contains(test.scope, "email") {
			t.Errorf("%s: ID token %v", name, id)
		}
	}

	tokens := h.identity(agent, "openid email", "")
	forMCP := h.identity(agent, "openid email stocks/read", "")
	if h.introspected(forMCP["access_token"].(string))["aud"] != h.cfg.MCPResource() {
		t.Error("a client that asks for a resource's scope gets a token for another audience")
	}
	named := h.identity(agent, "openid", h.cfg.MCPResource())
	if h.introspected(named["access_token"].(string))["aud"] != h.cfg.MCPResource() {
		t.Error("a client that names its resource gets a token for another audience")
	}
	for name, token := range map[string]string{
		"for the MCP server": forMCP["access_token"].(string), "for the MCP server, with openid": named["access_token"].(string),
		"its JWT": h.phantom(forMCP["access_token"].(string)), "refresh token": tokens["refresh_token"].(string), "ID token": tokens["id_token"].(string), "garbage": "x",
		"client assertion": ecKey().sign(h.assertion(agent), nil),
	} {
		if a := ask(http.MethodGet, token); a.Status != http.StatusUnauthorized || !strings.Contains(a.Header.Get("WWW-Authenticate"), `Bearer error="invalid_token"`) || a.Body != "" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", name, a.Status, a.Header)
		}
	}
	narrowed := h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {tokens["refresh_token"].(string)}, "scope": {"email"}, "resource": {h.cfg.Issuer()}})
	if a := ask(http.MethodGet, narrowed.JSON["access_token"].(string)); a.Status != http.StatusForbidden || !strings.Contains(a.Header.Get("WWW-Authenticate"), "insufficient_scope") {
		t.Errorf("narrowed below openid: %d %v", a.Status, a.Header)
	}
	access := tokens["access_token"].(string)
	if a := ask(http.MethodGet, ""); a.Status != http.StatusUnauthorized || strings.Contains(a.Header.Get("WWW-Authenticate"), "error=") {
		t.Errorf("no token: %d %v", a.Status, a.Header)
	}
	if a := h.get(h.newBrowser(), "/userinfo?access_token="+access); a.Status != http.StatusUnauthorized {
		t.Errorf("G4 token in the URL: %d", a.Status)
	}
	if a := h.post(h.newBrowser(), "/userinfo", url.Values{"access_token": {access}}); a.Status != http.StatusUnauthorized {
		t.Errorf("G4 token in the body: %d", a.Status)
	}
	for _, value := range []string{"Basic eDp5", "Bearer", "Bearer  " + access, "Bearer a b", "Bearer a,b"} {
		if a := ask(http.MethodGet, "", "Authorization", value); a.Status != http.StatusBadRequest {
			t.Errorf("G3 %q: %d", value, a.Status)
		}
	}
	if a := ask(http.MethodGet, "", "Authorization", "bearer "+access); a.Status != http.StatusOK {
		t.Errorf("the scheme in lower case: %d", a.Status)
	}
	for origin, want := range map[string]string{"http://localhost:6274": "http://localhost:6274", "https://evil.example": ""} { // P19
		if a := ask(http.MethodGet, access, "Origin", origin); a.Header.Get("Access-Control-Allow-Origin") != want || a.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("origin %s: %v", origin, a.Header)
		}
	}
	wantError(h, "exchange of a token for the userinfo endpoint", h.post(h.newBrowser(), "/token", exchangeForm(access, h.cfg.APIResource()), basic("stocksmcp")...), 400, "invalid_request")

	query := h.authorizeQuery(agent)
	query.Set("resource", h.cfg.Issuer())
	wantRedirectError(h, "stocks/read at the issuer", query, "invalid_scope")
	query.Set("scope", "email")
	wantRedirectError(h, "the issuer without openid", query, "invalid_scope")
	reader := h.register(map[string]any{"redirect_uris": []string{callback}, "token_endpoint_auth_method": "none", "scope": "stocks/read"})
	query = h.authorizeQuery(reader)
	query.Set("resource", h.cfg.Issuer())
	wantRedirectError(h, "a client that did not register for openid", query, "invalid_target")

	if err := h.db.SetUserStatus(t.Context(), user.ID, "suspended"); err != nil {
		t.Fatal(err)
	}
	if a := ask(http.MethodGet, access); a.Status != http.StatusUnauthorized { // R6
		t.Errorf("suspended user: %d", a.Status)
	}
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	if a := ask(http.MethodGet, access); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("without its database: %d", a.Status)
	}
}

// FuzzBearer: what is taken for a token is the one word after the scheme.
func FuzzBearer(f *testing.F) {
	for _, seed := range []string{"Bearer x", "bearer x", "Bearer", "Bearer ", "Bearer  x", "Bearer x,Bearer y", "Basic x", "", "BEARER\tx"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		secret, refusal := bearer([]string{header})
		if (secret == "") == (refusal == nil) || strings.ContainsAny(secret, " ,") || refusal == nil && !strings.EqualFold(header, "Bearer "+secret) {
			t.Errorf("%q: %q, %v", header, secret, refusal)
		}
		if _, refusal := bearer([]string{header, header}); refusal == nil {
			t.Errorf("%q twice is taken", header)
		}
	})
}
