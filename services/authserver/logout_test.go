package authserver

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

const goodbye = "http://127.0.0.1:7777/bye?x=%7e1"

// TestLogout: OpenID Connect RP-Initiated Logout 1.0 (A19, O12).
func TestLogout(t *testing.T) {
	h := newHarness(t)
	agent := h.register(map[string]any{"redirect_uris": []string{callback}, "post_logout_redirect_uris": []string{goodbye}, "token_endpoint_auth_method": "none"})
	hint := h.idToken(agent, john)
	signedIn := func() *http.Client {
		browser := h.newBrowser()
		h.decide(browser, h.signInAs(browser, h.authorizeQuery(agent), john), "allow")
		return browser
	}
	isSignedIn := func(browser *http.Client) bool { return strings.Contains(h.get(browser, "/signout").Body, john) }
	want := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {goodbye}, "state": {"s 1"}}

	for _, method := range []string{http.MethodGet, http.MethodPost} {
		browser := signedIn()
		var a answer
		if method == http.MethodGet {
			a = h.get(browser, "/logout?"+want.Encode())
		} else {
			a = h.post(browser, "/logout", want)
		}
		if a.Header.Get("Location") != goodbye+"&state=s+1" || isSignedIn(browser) {
			t.Errorf("%s: %d, Location %q", method, a.Status, a.Header.Get("Location"))
		}
		if a := h.get(browser, "/logout?"+want.Encode()); a.Header.Get("Location") != goodbye+"&state=s+1" {
			t.Errorf("nobody signed in: %d %q", a.Status, a.Header.Get("Location"))
		}
	}

	browser := signedIn()
	h.wait(30 * time.Minute) // longer than ID tokens live
	if a := h.get(browser, "/logout?id_token_hint="+hint); a.Header.Get("Location") != "/signout" || isSignedIn(browser) {
		t.Errorf("an expired hint and nowhere to go: %d %q", a.Status, a.Header.Get("Location"))
	}

	// Another port of the user's own machine is the same program elsewhere.
	browser = signedIn()
	moved := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {strings.Replace(goodbye, "7777", "9999", 1)}}
	if a := h.get(browser, "/logout?"+moved.Encode()); !strings.HasPrefix(a.Header.Get("Location"), "http://127.0.0.1:9999/bye") {
		t.Errorf("another loopback port: %d %q", a.Status, a.Header.Get("Location"))
	}

	// Whoever shows no ID token of the user who is signed in has to let them decide.
	browser = signedIn()
	for name, query := range map[string]url.Values{
		"no hint":            {"client_id": {agent}, "post_logout_redirect_uri": {goodbye}, "state": {"s 1"}},
		"garbage":            {"client_id": {agent}, "id_token_hint": {"x"}, "post_logout_redirect_uri": {goodbye}, "state": {"s 1"}},
		"another's":          {"id_token_hint": {h.idToken(agent, jane)}, "post_logout_redirect_uri": {goodbye}, "state": {"s 1"}},
		"an access token":    {"id_token_hint": {h.phantom(h.tokens(agent, john).JSON["access_token"].(string))}},
		"nothing whatsoever": {},
	} {
		a := h.get(browser, "/logout?"+query.Encode())
		if a.Status != http.StatusOK || !strings.Contains(a.Body, "Sign out?") || !isSignedIn(browser) {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
		// Anybody can register an address: without an ID token it leads nowhere.
		follows := strings.Contains(a.Header.Get("Content-Security-Policy"), "form-action 'self' http://127.0.0.1:7777;")
		if follows != (name == "another's") || strings.Contains(a.Body, goodbye) && !follows {
			t.Errorf("%s: %s", name, a.Header.Get("Content-Security-Policy"))
		}
	}
	const home = "https://client.demo.localhost:8443/" // of a reviewed client
	page := h.get(browser, "/logout?"+url.Values{"client_id": {"stocks-web"}, "post_logout_redirect_uri": {home}, "state": {"s 1"}}.Encode())
	form := url.Values{}
	for _, m := range regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`).FindAllStringSubmatch(page.Body, -1) {
		form.Set(m[1], m[2])
	}
	tampered := url.Values{"csrf": form["csrf"], "client_id": {agent}, "post_logout_redirect_uri": {"https://evil.example/"}}
	checkLocal(t, "tampered form", h.post(browser, "/signout", tampered))
	noToken := url.Values{"client_id": {agent}, "post_logout_redirect_uri": {goodbye}}
	if a := h.post(browser, "/signout", noToken); a.Status != http.StatusForbidden || !isSignedIn(browser) { // O14
		t.Errorf("no form token: %d", a.Status)
	}
	if a := h.post(browser, "/signout", form); a.Header.Get("Location") != home+"?state=s+1" || a.Status != http.StatusSeeOther || isSignedIn(browser) {
		t.Errorf("after the user agreed: %d %q", a.Status, a.Header.Get("Location"))
	}

	// Browsers keep the cookie from another site's form: it must not look as
	// if nobody were signed in.
	a := h.post(h.newBrowser(), "/logout", want)
	location, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.Status != http.StatusSeeOther || location.Path != "/logout" || location.Query().Has("id_token_hint") || location.Query().Get("state") != "s 1" {
		t.Errorf("a form without the cookie: %d %q", a.Status, a.Header.Get("Location"))
	}
}

// TestLogoutURIsAreRegisteredLikeRedirects: D1 and D2, for the other list.
func TestLogoutURIsAreRegisteredLikeRedirects(t *testing.T) {
	h := newHarness(t)
	for _, uri := range []string{"javascript:alert(1)", "http://app.example/", "https://app.example/#x", "https://*.example/", "https://u@app.example/", "https://app.example/" + strings.Repeat("x", 2000), ""} {
		a := h.registerRaw(map[string]any{"redirect_uris": []string{callback}, "post_logout_redirect_uris": []string{uri}})
		wantError(h, uri, a, 400, "invalid_client_metadata")
	}
	many := make([]string, 11)
	for i := range many {
		many[i] = "https://app.example/"
	}
	wantError(h, "eleven", h.registerRaw(map[string]any{"redirect_uris": []string{callback}, "post_logout_redirect_uris": many}), 400, "invalid_client_metadata")
	a := h.registerRaw(map[string]any{"redirect_uris": []string{callback}, "post_logout_redirect_uris": []string{goodbye}})
	if got, _ := a.JSON["post_logout_redirect_uris"].([]any); len(got) != 1 || got[0] != goodbye {
		t.Errorf("registration: %s", a.Body)
	}
}
