package authserver

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"demo.example/services/internal/dpop/dpoptest"
)

// TestPushedKey: a pushed request is bound to the key that signed its proof
// (RFC 9449 §10.1).
func TestPushedKey(t *testing.T) {
	h := newHarness(t)
	agent, key := h.agent(), dpoptest.NewKey(t)
	holder, thief := h.keyHolder(key), h.keyHolder(dpoptest.NewKey(t))
	query := h.authorizeQuery(agent)

	other := maps.Clone(query)
	other.Set("dpop_jkt", dpoptest.NewKey(t).Thumbprint())
	wantError(h, "D-POP proof and dpop_jkt of two keys", h.post(holder, "/par", other), 400, "invalid_request")
	wantError(h, "D-POP a proof made for the token endpoint", h.post(h.newBrowser(), "/par", query, "DPoP",
		key.Proof("POST", h.url("/token"), map[string]any{"nonce": h.dpopNonce(agent)})), 400, "invalid_dpop_proof")

	same := maps.Clone(query)
	same.Set("dpop_jkt", key.Thumbprint())
	for name, form := range map[string]url.Values{"proof alone": query, "proof and dpop_jkt": same} {
		pushed := h.post(holder, "/par", form)
		if pushed.Status != http.StatusCreated {
			t.Fatalf("%s: %d %s", name, pushed.Status, pushed.Body)
		}
		code := h.code(url.Values{"client_id": {agent}, "request_uri": {pushed.JSON["request_uri"].(string)}}, john)
		wantError(h, "D-POP another key redeems the code", h.post(thief, "/token", redeemForm(agent, code)), 400, "invalid_grant")
		if a := h.post(holder, "/token", redeemForm(agent, code)); a.Status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
}

// TestUserInfoOfBoundToken: this server's own resource does as the gateway
// does with the others.
func TestUserInfoOfBoundToken(t *testing.T) {
	h := newHarness(t)
	agent, key := h.agent(), dpoptest.NewKey(t)
	holder := h.keyHolder(key)
	query := h.authorizeQuery(agent)
	query.Set("resource", h.cfg.Issuer())
	query.Set("scope", "openid")
	access := h.post(holder, "/token", redeemForm(agent, h.code(query, john))).JSON["access_token"].(string)
	if a := h.get(holder, "/userinfo", "Authorization", "DPoP "+access); a.Status != http.StatusOK || a.JSON["sub"] == nil {
		t.Errorf("the holder of the key: %d %v %s", a.Status, a.Header, a.Body)
	}
	for name, a := range map[string]answer{
		"D-POP stolen, as Bearer":        h.get(h.newBrowser(), "/userinfo", "Authorization", "Bearer "+access),
		"D-POP stolen, without a proof":  h.get(h.newBrowser(), "/userinfo", "Authorization", "DPoP "+access),
		"D-POP stolen, with another key": h.get(h.keyHolder(dpoptest.NewKey(t)), "/userinfo", "Authorization", "DPoP "+access),
	} {
		if a.Status != http.StatusUnauthorized || !strings.Contains(strings.Join(a.Header.Values("WWW-Authenticate"), ", "), `DPoP error="invalid_`) {
			t.Errorf("%s: %d %v", name, a.Status, a.Header)
		}
	}
}
