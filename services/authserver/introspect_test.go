package authserver

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/grants"
	"demo.example/services/internal/token"
)

// serveJWKS returns the URL of the harness's keys, for whoever checks JWTs.
func (h *harness) serveJWKS() string {
	srv := httptest.NewServer(h.routes())
	h.Cleanup(srv.Close)
	return srv.URL + "/jwks"
}

// TestSignedIntrospection: RFC 9701 §5, and that the answer is no access token
// for anybody (§8.1).
func TestSignedIntrospection(t *testing.T) {
	h := newHarness(t)
	opaque := pairOf(h.tokens(h.agent(), john)).access
	a := h.post(h.newBrowser(), "/introspect", url.Values{"token": {opaque}}, append(basic("gateway"), "Accept", grants.MediaTypeIntrospection)...)
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/token-introspection+jwt" || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", a.Status, a.Header, a.Body)
	}
	header, claims := claimsOf(t, a.Body)
	if diff := cmp.Diff(map[string]any{"alg": "ES256", "typ": "token-introspection+jwt", "kid": header["kid"]}, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if age := h.time().Unix() - int64(claims["iat"].(float64)); age < 0 || age > 60 {
		t.Errorf("iat is %d seconds ago", age)
	}
	want := map[string]any{"iss": h.cfg.Issuer(), "aud": "gateway", "iat": claims["iat"], "token_introspection": h.introspected(opaque)}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}

	jwks := h.serveJWKS()
	phantom := h.phantom(opaque)
	if _, err := token.NewVerifier(h.cfg.Issuer(), h.cfg.MCPResource(), jwks, http.DefaultClient).Verify(t.Context(), phantom); err != nil {
		t.Fatalf("the phantom JWT does not pass: %v", err)
	}
	for _, audience := range []string{"gateway", h.cfg.MCPResource(), h.cfg.APIResource()} {
		if _, err := token.NewVerifier(h.cfg.Issuer(), audience, jwks, http.DefaultClient).Verify(t.Context(), a.Body); err == nil {
			t.Errorf("the introspection answer passes for an access token for %s", audience)
		}
	}
	wantError(h, "exchange of an introspection answer", h.post(h.newBrowser(), "/token", exchangeForm(a.Body, h.cfg.APIResource()), basic("stocksmcp")...), 400, "invalid_request")
	if h.active(a.Body) {
		t.Error("the introspection answer is an active token")
	}
	supported := h.get(h.newBrowser(), "/.well-known/oauth-authorization-server").JSON["introspection_signing_alg_values_supported"]
	if !cmp.Equal(supported, []any{"ES256"}) {
		t.Errorf("introspection_signing_alg_values_supported: %v", supported)
	}
}

// TestPhantomIsSignedOnce: the JWT of a token stays the same, and is not
// handed out any more once the token has ended.
func TestPhantomIsSignedOnce(t *testing.T) {
	h := newHarness(t)
	client := h.agent()
	opaque := pairOf(h.tokens(client, john)).access
	first := h.phantom(opaque)
	if again := h.phantom(opaque); again != first {
		t.Error("the JWT was signed twice")
	}
	h.wait(time.Minute)
	h.revoke(client, opaque)
	a := h.post(h.newBrowser(), "/introspect", url.Values{"token": {opaque}}, append(basic("gateway"), "Accept", "application/jwt")...)
	if a.JSON["active"] != false {
		t.Errorf("the kept JWT of a revoked token was handed out: %s", a.Body)
	}
}
