package authserver

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	goodbye = "http://127.0.0.1:7777/bye?x=%7e1"
	home    = "https://client.demo.localhost:8443/" // of a reviewed client
)

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
		// Anybody can register an address: without an ID token of the one who
		// signs out, the form does not lead there.
		if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self';") || strings.Contains(a.Body, "7777") {
			t.Errorf("%s: %s %s", name, csp, a.Body)
		}
	}
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
	for name, tt := range map[string]struct{ form, kept url.Values }{
		"reviewed":   {url.Values{"client_id": {"stocks-web"}, "post_logout_redirect_uri": {home}, "state": {"s 1"}}, url.Values{"client_id": {"stocks-web"}, "post_logout_redirect_uri": {home}, "state": {"s 1"}}},
		"unreviewed": {want, url.Values{"client_id": {agent}}},
	} {
		a := h.post(h.newBrowser(), "/logout", tt.form)
		if a.Status != http.StatusSeeOther || a.Header.Get("Location") != "/logout?"+tt.kept.Encode() {
			t.Errorf("a form without the cookie, %s: %d %q", name, a.Status, a.Header.Get("Location"))
		}
	}
}

// TestLogoutIsNoOpenRedirect: A19. Anybody with an account can register an
// address and has an ID token to link here with. Whoever is not the one who
// signs out is shown where it leads, and decides.
func TestLogoutIsNoOpenRedirect(t *testing.T) {
	h := newHarness(t)
	out := h.newBrowser() // was signed in
	h.signInAs(out, h.authorizeQuery(h.agent()), john)
	h.post(out, "/signout", fields(h.get(out, "/signout")))
	for to, shown := range map[string]string{
		"https://evil.example/phish?x=1": `<a href="https://evil.example/phish?x=1&state=s+1" rel="noreferrer">evil.example</a>`,
		goodbye:                          `<a href="` + goodbye + `&state=s+1" rel="noreferrer">127.0.0.1:7777</a>`,
		"com.example.app:/bye":           `<a href="com.example.app:/bye?state=s+1" rel="noreferrer">whichever app opens links that begin with com.example.app:</a>`,
	} {
		client := h.register(map[string]any{"redirect_uris": []string{callback}, "post_logout_redirect_uris": []string{to}, "token_endpoint_auth_method": "none"})
		query := url.Values{"id_token_hint": {h.idToken(client, jane)}, "post_logout_redirect_uri": {to}, "state": {"s 1"}}
		for name, browser := range map[string]*http.Client{"nobody": h.newBrowser(), "signed out before": out} {
			a := h.get(browser, "/logout?"+query.Encode())
			if a.Status != http.StatusOK || a.Header.Get("Location") != "" || !strings.Contains(a.Body, "You are signed out") || !strings.Contains(html.UnescapeString(a.Body), shown) {
				t.Errorf("%s, %s: %d %q %s", to, name, a.Status, a.Header.Get("Location"), a.Body)
			}
			if !strings.Contains(a.Header.Get("Content-Security-Policy"), "form-action 'self';") {
				t.Errorf("%s, %s: %s", to, name, a.Header.Get("Content-Security-Policy"))
			}
		}
	}

	// Where a reviewed client leads was looked at before.
	query, browser := h.webQuery(), h.newBrowser()
	query.Set("scope", "stocks/read openid")
	back, err := url.Parse(h.allow(browser, h.signInAs(browser, query, john)).Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "code_verifier": {verifier}}
	hint, _ := h.post(h.newBrowser(), "/token", form, basic("stocks-web")...).JSON["id_token"].(string)
	a := h.get(h.newBrowser(), "/logout?"+url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {home}}.Encode())
	if a.Status != http.StatusFound || a.Header.Get("Location") != home {
		t.Errorf("a reviewed client, nobody signed in: %d %q", a.Status, a.Header.Get("Location"))
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
