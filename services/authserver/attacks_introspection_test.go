package authserver

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
)

// TestIntrospectionCallers: attack R12. (An ordinary client gets 400
// unauthorized_client, as RFC 6749 §5.2 has it.)
func TestIntrospectionCallers(t *testing.T) {
	h := newHarness(t)
	token := url.Values{"token": {pairOf(h.tokens(h.agent(), john)).access}}
	confidential := h.registerRaw(map[string]any{"redirect_uris": []string{callback}}).JSON
	ordinary := "Basic " + base64.StdEncoding.EncodeToString([]byte(confidential["client_id"].(string)+":"+confidential["client_secret"].(string)))
	for _, accept := range []string{"application/json", "application/jwt", "application/token-introspection+jwt"} {
		wantError(h, "R12 nobody", h.post(h.newBrowser(), "/introspect", token, "Accept", accept), 401, "invalid_client")
		wantError(h, "R12 an ordinary client", h.post(h.newBrowser(), "/introspect", token, "Accept", accept, "Authorization", ordinary), 400, "unauthorized_client")
		wantError(h, "R12 the client of exchanges", h.post(h.newBrowser(), "/introspect", token, append(basic("stocksmcp"), "Accept", accept)...), 400, "unauthorized_client")
	}
}

// TestIntrospectionOracle: attack R13. Whatever is not active, or not the
// caller's to see, looks the same; of X11, the row of this endpoint.
func TestIntrospectionOracle(t *testing.T) {
	h := newHarness(t)
	client := h.agent()
	query := h.authorizeQuery(client)
	query.Set("scope", "stocks/read openid")
	expired := pairOf(h.tokens(client, john))
	h.wait(grants.AccessLifetime)
	answered := h.post(h.newBrowser(), "/token", redeemForm(client, h.code(query, john)))
	tokens, revoked := pairOf(answered), pairOf(h.tokens(client, john))
	h.revoke(client, revoked.access)
	jwt := h.phantom(tokens.access)
	exchanged := h.post(h.newBrowser(), "/token", exchangeForm(jwt, h.cfg.APIResource()), basic("stocksmcp")...).JSON["access_token"].(string)
	// The gateway sees every resource of this site, so one of another has to be made up.
	now, elsewhere := h.time(), rand.Text()
	if err := h.db.AddGrant(t.Context(), store.Grant{
		ID: "elsewhere", UserID: h.user(john).ID, ClientID: client, Resource: "https://elsewhere.example/", Scope: "stocks/read", ExpiresAt: now.Add(time.Hour),
	}, store.Code{Hash: store.HashOf(rand.Text()), GrantID: "elsewhere", ExpiresAt: now}); err != nil {
		t.Fatal(err)
	}
	if err := h.db.AddTokens(t.Context(), store.Token{
		Hash: store.HashOf(elsewhere), ID: "elsewhere", Kind: store.AccessToken, GrantID: "elsewhere", Scope: "stocks/read", IssuedAt: now, ExpiresAt: now.Add(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}

	for name, token := range map[string]string{
		"expired": expired.access, "revoked": revoked.access, "garbage": "garbage", "empty": "", "unknown": rand.Text(), "refresh token": tokens.refresh,
		"ID token": answered.JSON["id_token"].(string), "the JWT behind it": jwt, "exchanged JWT": exchanged, "code": h.code(query, john),
		"client assertion": ecKey().sign(h.assertion(client), nil), "other audience": elsewhere, "60 kB": strings.Repeat("A", 60_000), "NUL": "\x00", "not UTF-8": "\xff",
	} {
		for _, accept := range []string{"application/json", "application/jwt", "*/*", "text/html"} {
			a := h.post(h.newBrowser(), "/introspect", url.Values{"token": {token}}, append(basic("gateway"), "Accept", accept)...)
			if a.Status != http.StatusOK || strings.TrimSpace(a.Body) != `{"active":false}` || a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("R13 %s, Accept %s: %d %s %q", name, accept, a.Status, a.Header.Get("Content-Type"), a.Body)
			}
		}
		signed := h.post(h.newBrowser(), "/introspect", url.Values{"token": {token}}, append(basic("gateway"), "Accept", grants.MediaTypeIntrospection)...)
		_, claims := claimsOf(t, signed.Body)
		delete(claims, "iat")
		if diff := cmp.Diff(map[string]any{"iss": h.cfg.Issuer(), "aud": "gateway", "token_introspection": map[string]any{"active": false}}, claims); diff != "" {
			t.Errorf("R13 %s, signed (-want +got):\n%s", name, diff)
		}
	}
	if !h.active(tokens.access) {
		t.Error("the good token is not active")
	}
}

// TestRandomTokens: attack R17. Random tokens do not push signed JWTs out of
// the cache: a JWT that is signed anew has another signature.
func TestRandomTokens(t *testing.T) {
	h := newHarness(t)
	token := pairOf(h.tokens(h.agent(), john)).access
	jwt := h.phantom(token)
	browser := h.newBrowser()
	for range 500 {
		h.post(browser, "/introspect", url.Values{"token": {rand.Text()}}, append(basic("gateway"), "Accept", "application/jwt")...)
	}
	if h.phantom(token) != jwt {
		t.Error("R17: the JWT was signed again")
	}
}
