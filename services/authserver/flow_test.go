package authserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"demo.example/services/authserver/grants"
)

// TestFlow walks the chain as far as it runs through this server, and checks
// what each hop is given.
func TestFlow(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	browser := h.newBrowser()
	page := h.signInAs(browser, h.authorizeQuery(agent), john)
	for _, want := range []string{"Test Agent", "It registered itself", "127.0.0.1:7777", "USA", john} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the consent page does not say %q", want)
		}
	}
	back := h.decide(browser, page, "allow")
	if diff := cmp.Diff(url.Values{"state": {"st"}, "iss": {"https://login.demo.localhost:8443"}, "code": {back.Get("code")}}, back); diff != "" {
		t.Errorf("authorization response (-want +got):\n%s", diff)
	}

	tokens := h.post(h.newBrowser(), "/token", redeemForm(agent, back.Get("code")))
	if tokens.Status != http.StatusOK || tokens.JSON["expires_in"] != 900.0 || tokens.JSON["scope"] != "stocks/read" || tokens.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("token: %d %s", tokens.Status, tokens.Body)
	}
	access := tokens.JSON["access_token"].(string)
	if len(access) != 43 || strings.Contains(access, ".") {
		t.Errorf("the access token is not opaque")
	}

	header, claims := claimsOf(t, h.phantom(access))
	if diff := cmp.Diff(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": header["kid"]}, header); diff != "" {
		t.Errorf("JWT header (-want +got):\n%s", diff)
	}
	want := map[string]any{
		"iss": "https://login.demo.localhost:8443", "aud": "https://mcp.demo.localhost:8443/", "scope": "stocks/read", "client_id": agent,
		"region": "USA", "client_type": "mcp", "client_assurance_level": 1.0, "acr": "urn:demo:acr:email-otp",
	}
	volatile := cmpopts.IgnoreMapEntries(func(k string, _ any) bool {
		return k == "sub" || k == "jti" || k == "exp" || k == "iat" || k == "auth_time" || k == "grant_id"
	})
	if diff := cmp.Diff(want, claims, volatile); diff != "" {
		t.Errorf("claims for the MCP server (-want +got):\n%s", diff)
	}

	exchanged := h.post(h.newBrowser(), "/token", exchangeForm(h.phantom(access), h.cfg.APIResource()), basic("stocksmcp")...)
	if exchanged.Status != http.StatusOK || exchanged.JSON["refresh_token"] != nil || exchanged.JSON["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" {
		t.Fatalf("exchange: %d %s", exchanged.Status, exchanged.Body)
	}
	_, forAPI := claimsOf(t, exchanged.JSON["access_token"].(string))
	want["aud"], want["act"] = "https://api.demo.localhost:8443", map[string]any{"sub": "stocksmcp"}
	if diff := cmp.Diff(want, forAPI, volatile); diff != "" {
		t.Errorf("claims for the API (-want +got):\n%s", diff)
	}
	if forAPI["sub"] != claims["sub"] || forAPI["grant_id"] != claims["grant_id"] || claims["grant_id"] == nil || forAPI["jti"] == claims["jti"] || forAPI["exp"].(float64) > claims["exp"].(float64) {
		t.Errorf("the exchanged token is for somebody else, not new, or lives longer: %v", forAPI)
	}
}

// TestConsentIsAskedAgain: an agent that nobody reviewed is put to the user
// every time, a reviewed client once (attack O16).
func TestConsentIsAskedAgain(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	query := h.authorizeQuery(h.agent())
	h.decide(browser, h.signInAs(browser, query, john), "allow")
	if page := h.signInAs(browser, query, john); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("the same agent got access without being asked about: %s", page.Body)
	}

	web := h.authorizeQuery("stocks-web")
	web.Set("redirect_uri", "https://client.demo.localhost:8443/callback")
	web.Set("resource", h.cfg.APIResource())
	page := h.signInAs(browser, web, john)
	form := fields(page)
	form.Set("decision", "allow")
	if a := h.post(browser, "/consent", form); !strings.Contains(a.Header.Get("Location"), "code=") {
		t.Fatalf("consent: %d %s", a.Status, a.Body)
	}
	again := h.follow(browser, h.get(browser, "/authorize?"+web.Encode()))
	if !strings.Contains(again.Header.Get("Location"), "code=") {
		t.Errorf("the reviewed client was asked about again: %d %s", again.Status, again.Body)
	}
	web.Set("prompt", "consent")
	if page := h.follow(browser, h.get(browser, "/authorize?"+web.Encode())); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("prompt=consent was not honoured: %d", page.Status)
	}
}

func TestDenied(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	page := h.signInAs(browser, h.authorizeQuery(h.agent()), john)
	back := h.decide(browser, page, "deny")
	want := url.Values{"error": {"access_denied"}, "error_description": {"the user declined"}, "state": {"st"}, "iss": {h.cfg.Issuer()}}
	if diff := cmp.Diff(want, back); diff != "" {
		t.Errorf("authorization response (-want +got):\n%s", diff)
	}
	form := fields(page)
	form.Set("decision", "allow")
	if a := h.post(browser, "/consent", form); a.Status != http.StatusBadRequest {
		t.Errorf("the request could be approved after it was declined: %d", a.Status)
	}
}

func TestRefresh(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	first := h.tokens(agent, john).JSON
	refresh := func(token any) answer {
		return h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {token.(string)}, "resource": {h.cfg.MCPResource()}})
	}
	second := refresh(first["refresh_token"])
	if second.Status != http.StatusOK || second.JSON["refresh_token"] == first["refresh_token"] {
		t.Fatalf("refresh: %d %s", second.Status, second.Body)
	}
	if h.introspected(second.JSON["access_token"].(string))["active"] != true {
		t.Error("the refreshed access token is not active")
	}
	// R1: a token that was replaced and comes again, after the grace, ends
	// everything. The grace itself is tested in attacks_tokens_test.go.
	h.wait(grants.RefreshGrace)
	if a := refresh(first["refresh_token"]); a.Status != http.StatusBadRequest || a.JSON["error"] != "invalid_grant" {
		t.Errorf("reuse: %d %s", a.Status, a.Body)
	}
	if a := refresh(second.JSON["refresh_token"]); a.JSON["error"] != "invalid_grant" {
		t.Errorf("the newest refresh token survived a reuse: %d %s", a.Status, a.Body)
	}
	for _, token := range []any{first["access_token"], second.JSON["access_token"]} {
		if got := h.introspected(token.(string)); !cmp.Equal(got, map[string]any{"active": false}) {
			t.Errorf("an access token survived a reuse: %v", got)
		}
	}
}

func TestRevoke(t *testing.T) {
	h := newHarness(t)
	agent, other := h.agent(), h.agent()
	tokens := h.tokens(agent, john).JSON
	access, refresh := tokens["access_token"].(string), tokens["refresh_token"].(string)
	revoke := func(client, token string) {
		t.Helper()
		if a := h.post(h.newBrowser(), "/revoke", url.Values{"client_id": {client}, "token": {token}}); a.Status != http.StatusOK || a.Body != "" {
			t.Errorf("revoke: %d %q", a.Status, a.Body)
		}
	}
	revoke(other, access)
	revoke(agent, "unknown")
	if h.introspected(access)["active"] != true {
		t.Fatal("another client ended the token")
	}
	revoke(agent, refresh)
	if h.introspected(access)["active"] != false {
		t.Error("the access token outlived its grant")
	}
}
