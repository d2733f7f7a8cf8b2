package authserver

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"demo.example/services/internal/dpop/dpoptest"
	"demo.example/services/internal/httpserver"
)

// What lies between two features: each case was a hole that neither of the two
// had by itself.

func TestWithdrawnKeyStaysWithdrawn(t *testing.T) {
	h, host := newClientHost(t)
	id, oldKey, newKey := h.cfg.ClientDocument(), ecKey(), ecKey()
	document := func(key testKey) map[string]any {
		d := keyMetadata(map[string]any{}, key)
		for name, value := range h.document() {
			d[name] = value
		}
		d["token_endpoint_auth_method"] = "private_key_jwt"
		return d
	}
	host.serve(document(oldKey), "")
	other := h.newBrowser()
	held := h.signInAs(other, h.authorizeQuery(id), jane) // a consent page is left open
	host.serve(document(newKey), "")                      // meanwhile the owner changes the key
	h.wait(5 * time.Minute)
	browser := h.newBrowser()
	form := redeemForm(id, h.decide(browser, h.signInAs(browser, h.authorizeQuery(id), john), "allow").Get("code"))
	form.Del("client_id")
	first := h.post(h.newBrowser(), "/token", asserted(form, newKey.sign(h.assertion(id), nil)))
	h.decide(other, held, "allow")
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.JSON["refresh_token"].(string)}}
	wantError(h, "withdrawn key", h.post(h.newBrowser(), "/token", asserted(refresh, oldKey.sign(h.assertion(id), nil))), 401, "invalid_client")
	if a := h.post(h.newBrowser(), "/token", asserted(refresh, newKey.sign(h.assertion(id), nil))); a.Status != http.StatusOK {
		t.Errorf("the owner's key: %d %s", a.Status, a.Body)
	}
}

func TestStepUpAtApproval(t *testing.T) {
	h := newHarness(t)
	query := h.authorizeQuery(h.agent())
	query.Set("scope", "stocks/read stocks/trade")
	browser := h.newBrowser()
	form := fields(h.signInAs(browser, query, john))
	h.wait(14 * time.Minute)
	form.Set("decision", "allow")
	a := h.follow(browser, h.post(browser, "/consent", form))
	if strings.Contains(a.Header.Get("Location"), "code=") || !strings.Contains(a.Body, "Send me a passcode") {
		t.Errorf("approved long after the sign-in: %d %q", a.Status, a.Header.Get("Location"))
	}
}

func TestPasscodesPerNetwork(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.PasscodesPerIP, c.PasscodesTotal = 3, 50 })
	agent := h.agent()
	for i := range 4 {
		browser := h.newBrowser()
		form := fields(h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(agent).Encode())))
		form.Set("email", "x@demo.example")
		a := h.post(browser, "/signin", form, "X-Forwarded-For", fmt.Sprintf("2001:db8:1:1::%x", i+1))
		if limited := a.Status == http.StatusTooManyRequests; limited != (i == 3) {
			t.Errorf("request %d of one IPv6 network: %d", i, a.Status)
		}
	}
}

func TestAuthorizationRequestsAreBounded(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.AuthorizationsPerIP = 5 })
	var long []string
	for i := range 10 {
		long = append(long, fmt.Sprintf("https://app.example/%d/%s", i, strings.Repeat("x", 1900)))
	}
	query := h.authorizeQuery(h.register(plus(agentMetadata(), "redirect_uris", append(long[:9:9], callback), "post_logout_redirect_uris", long)))
	for i := range 6 {
		if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); (a.Status == http.StatusTooManyRequests) != (i == 5) {
			t.Errorf("request %d: %d", i, a.Status)
		}
	}
	if size := h.count("SELECT MAX(LENGTH(data)) FROM requests"); size > 4<<10 {
		t.Errorf("a request takes %d bytes", size)
	}
}

func TestScopeTakenAway(t *testing.T) {
	h := newHarness(t)
	query := h.webQuery()
	query.Set("scope", "stocks/read stocks/trade")
	browser := h.newBrowser()
	back, err := url.Parse(h.allow(browser, h.signInAs(browser, query, john)).Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "code_verifier": {verifier}}, basic("stocks-web")...).JSON
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"].(string)}}
	change := func(scope string, resources ...string) {
		h.reopen(clientsFile(t, func(presets []map[string]any) []map[string]any {
			for _, p := range presets {
				if p["client_id"] == "stocks-web" {
					p["scope"], p["resources"] = scope, resources
				}
			}
			return presets
		}))
	}
	change("stocks/read", "api")
	narrowed := h.post(h.newBrowser(), "/token", refresh, basic("stocks-web")...)
	if narrowed.Status != http.StatusOK || narrowed.JSON["scope"] != "stocks/read" {
		t.Fatalf("after the scope was taken away: %d %s", narrowed.Status, narrowed.Body)
	}
	change("stocks/read", "mcp")
	refresh.Set("refresh_token", narrowed.JSON["refresh_token"].(string))
	wantError(h, "after the resource was taken away", h.post(h.newBrowser(), "/token", refresh, basic("stocks-web")...), 400, "invalid_grant")
	if got := h.introspected(tokens["access_token"].(string)); got["active"] != false {
		t.Errorf("the access token: %v", got)
	}
}

// TestScopeTakenAwayFromTheJWT: X3. What a client may not ask for any more is not to
// be had by the JWT that was signed before, neither for an exchange nor for an
// order.
func TestScopeTakenAwayFromTheJWT(t *testing.T) {
	h := newHarness(t)
	registered := h.registerRaw(plus(agentMetadata(), "scope", tradeText+" openid")).JSON
	id := registered["client_id"].(string)
	_, access := h.trader(id, john)
	subjects := h.subjects(access)
	narrow := func(scope string) {
		if a := h.manage(http.MethodPut, id, registered["registration_access_token"].(string), plus(agentMetadata(), "client_id", id, "scope", scope)); a.Status != http.StatusOK {
			t.Fatalf("update: %d %s", a.Status, a.Body)
		}
	}
	narrow("stocks/read")
	for form, subject := range subjects {
		wantError(h, form+": an order", h.order(subject, aldp), 400, "invalid_scope")
		if a := h.exchange(subject); a.Status != http.StatusOK || a.JSON["scope"] != "stocks/read" {
			t.Errorf("%s: what is left: %d %s", form, a.Status, a.Body)
		}
	}
	narrow("openid")
	for form, subject := range subjects {
		wantError(h, form+": reading", h.exchange(subject, set("scope", "stocks/read")), 400, "invalid_scope")
		wantError(h, form+": whatever is left", h.exchange(subject, set("scope", "")), 400, "invalid_scope")
	}
}

func TestNewSessionEndsTheOld(t *testing.T) { // O12
	h := newHarness(t)
	browser := h.newBrowser()
	query := h.authorizeQuery(h.agent())
	h.signInAs(browser, query, john)
	issuer, err := url.Parse(h.cfg.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	var old string
	for _, c := range browser.Jar.Cookies(issuer) {
		if c.Name == sessionCookie {
			old = c.Value
		}
	}
	query.Set("prompt", "login")
	h.signInAs(browser, query, john)
	if a := h.get(h.newBrowser(), "/signout", "Cookie", sessionCookie+"="+old); old == "" || strings.Contains(a.Body, john) {
		t.Error("the session that was replaced still is one")
	}
}

func TestGraceKeepsTheKey(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	first := h.tokens(agent, john).JSON["refresh_token"].(string)
	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {first}}
	if a := h.post(h.keyHolder(dpoptest.NewKey(t)), "/token", refresh); a.JSON["token_type"] != "DPoP" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	wantError(h, "the old token without the key", h.post(h.newBrowser(), "/token", refresh), 400, "invalid_grant")
}

func TestChangedAuthenticationEndsGrants(t *testing.T) {
	h := newHarness(t)
	registered := h.registerRaw(plus(agentMetadata(), "token_endpoint_auth_method", "client_secret_post")).JSON
	id, secret := registered["client_id"].(string), registered["client_secret"].(string)
	form := redeemForm(id, h.code(h.authorizeQuery(id), john))
	form.Set("client_secret", secret)
	first := h.post(h.newBrowser(), "/token", form).JSON["refresh_token"].(string)
	if a := h.manage(http.MethodPut, id, registered["registration_access_token"].(string), plus(agentMetadata(), "client_id", id)); a.Status != http.StatusOK {
		t.Fatalf("update: %d %s", a.Status, a.Body)
	}
	wantError(h, "a refresh token that the secret protected", h.post(h.newBrowser(), "/token",
		url.Values{"grant_type": {"refresh_token"}, "client_id": {id}, "refresh_token": {first}}), 400, "invalid_grant")
}

func TestRedirectRemovedInTheMiddle(t *testing.T) {
	h := newHarness(t)
	registered := h.registerRaw(agentMetadata()).JSON
	id := registered["client_id"].(string)
	browser := h.newBrowser()
	form := fields(h.signInAs(browser, h.authorizeQuery(id), john))
	form.Set("decision", "allow")
	h.manage(http.MethodPut, id, registered["registration_access_token"].(string), plus(agentMetadata(), "client_id", id, "redirect_uris", []string{"https://app.example/cb"}))
	if a := h.post(browser, "/consent", form); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
		t.Errorf("a code for an address that is not registered any more: %d %q", a.Status, a.Header.Get("Location"))
	}
}

// TestRedirectRemovedAfterPush (RFC 9126): a request that was pushed leads,
// even with an error, to no address that was removed before the browser came.
func TestRedirectRemovedAfterPush(t *testing.T) {
	h := newHarness(t)
	registered := h.registerRaw(agentMetadata()).JSON
	id := registered["client_id"].(string)
	silent := h.authorizeQuery(id)
	silent.Set("prompt", "none")
	requests := []url.Values{h.pushed(h.authorizeQuery(id)), h.pushed(silent)}
	h.manage(http.MethodPut, id, registered["registration_access_token"].(string), plus(agentMetadata(), "client_id", id, "redirect_uris", []string{"https://app.example/cb"}))
	for _, query := range requests {
		if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("sent to an address that is not registered any more: %d %q", a.Status, a.Header.Get("Location"))
		}
	}
}

func TestRegionOfTheJWTIsTheUsers(t *testing.T) {
	h := newHarness(t)
	access := h.tokens(h.agent(), john).JSON["access_token"].(string)
	h.phantom(access)
	h.count("UPDATE users SET region = 'Europe' WHERE email = ? RETURNING 1", john)
	if _, claims := claimsOf(t, h.phantom(access)); claims["region"] != "Europe" {
		t.Errorf("the JWT says %v", claims["region"])
	}
}

func TestConsentIsOfTheUserWhoSawIt(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	query := h.authorizeQuery(h.agent())
	first := fields(h.signInAs(browser, query, john))
	form := url.Values{"request": first["request"], "csrf": first["csrf"], "email": {jane}}
	page := h.follow(browser, h.post(browser, "/signin", form))
	form = fields(page)
	form.Set("passcode", h.mail.passcode(jane))
	h.follow(browser, h.post(browser, "/passcode", form))
	first.Set("decision", "allow")
	a := h.post(browser, "/consent", first)
	if strings.Contains(a.Header.Get("Location"), "code=") {
		t.Error("what john was shown was approved as jane")
	}
}

// TestRememberedConsentIsOfTheUserWhoIsHere (O16): a request that one user
// signed in for gives no code of theirs once another sits at the browser,
// though nobody would be asked.
func TestRememberedConsentIsOfTheUserWhoIsHere(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	h.allow(browser, h.signInAs(browser, h.webQuery(), john)) // from now on john is not asked
	begun := h.get(browser, "/authorize?"+h.webQuery().Encode())
	consent := h.get(browser, begun.Header.Get("Location")).Header.Get("Location")
	if !strings.HasPrefix(consent, "/consent?") {
		t.Fatalf("john is signed in, and sent to %q", consent)
	}
	login := h.authorizeQuery(h.agent())
	login.Set("prompt", "login")
	h.signInAs(browser, login, jane)
	if a := h.get(browser, consent); a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/signin?") {
		t.Errorf("john's request while jane is signed in: %d %q", a.Status, a.Header.Get("Location"))
	}
}

// TestAuthorizeFromAnotherSite: browsers keep the cookie from a form that
// another site posts. It must not be answered with a new cookie, which would
// end the sign-ins that are under way.
func TestAuthorizeFromAnotherSite(t *testing.T) {
	h := newHarness(t)
	agent, browser := h.agent(), h.newBrowser()
	page := h.signInAs(browser, h.authorizeQuery(agent), john) // a consent page stands open

	query := h.authorizeQuery(agent)
	query.Set("state", "another & more")
	a := h.post(h.newBrowser(), "/authorize", query)
	if a.Status != http.StatusSeeOther || a.Header.Get("Location") != "/authorize?"+query.Encode() || len(a.Header.Values("Set-Cookie")) > 0 {
		t.Errorf("without the cookie: %d %q, cookies %q", a.Status, a.Header.Get("Location"), a.Header.Values("Set-Cookie"))
	}
	if second := h.follow(browser, a); !strings.Contains(second.Body, "Allow access?") { // the browser follows with its cookie
		t.Errorf("the request does not go on: %d %s", second.Status, second.Body)
	}
	if code := h.decide(browser, page, "allow").Get("code"); code == "" {
		t.Error("the sign-in that was under way is over")
	}
	if a := h.post(browser, "/authorize", query); !strings.HasPrefix(a.Header.Get("Location"), "/signin?") {
		t.Errorf("with the cookie: %d %q", a.Status, a.Header.Get("Location"))
	}
}

// TestFormsFitAnAddress: a form of another site may be answered with an address.
// What the gateway would refuse there (G12) is refused on a page before, whoever
// sends it.
func TestFormsFitAnAddress(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	known := h.newBrowser() // with a cookie, whose forms need no address
	h.get(known, "/authorize?"+h.authorizeQuery(agent).Encode())
	for path, form := range map[string]url.Values{"/authorize": h.authorizeQuery(agent), "/logout": {"client_id": {agent}}} {
		form.Set("filler", "")
		form.Set("filler", strings.Repeat("x", httpserver.MaxQuery-len(form.Encode())))
		a := h.post(h.newBrowser(), path, form)
		location, err := url.Parse(a.Header.Get("Location"))
		if err != nil || a.Status != http.StatusSeeOther || location.Path != path || !httpserver.QueryFits(location.RawQuery) {
			t.Errorf("%s, as long as an address may be: %d %.80q", path, a.Status, a.Header.Get("Location"))
		}
		long, many := with(form, "filler", form.Get("filler")+"x"), maps.Clone(form)
		many.Del("filler")
		for i := range httpserver.MaxParams {
			many.Set(fmt.Sprint("p", i), "")
		}
		for name, form := range map[string]url.Values{"longer": long, "with more parameters": many} {
			for who, browser := range map[string]*http.Client{"no cookie": h.newBrowser(), "cookie": known} {
				a := h.post(browser, path, form)
				if checkLocal(t, path+" "+name+", "+who, a); !strings.Contains(a.Body, "too long") {
					t.Errorf("%s %s, %s: %s", path, name, who, a.Body)
				}
			}
		}
	}
}

// TestHintOfAnotherKey: an ID token of a key that is gone says nothing any
// more, which is no mistake of the client's.
func TestHintOfAnotherKey(t *testing.T) {
	h, before := newHarness(t), newHarness(t) // two keys, one issuer
	browser := h.newBrowser()
	h.decide(browser, h.signInAs(browser, h.authorizeQuery(h.agent()), john), "allow")
	if a := h.allow(browser, h.signInAs(browser, h.webQuery(), john)); a.Status != http.StatusSeeOther {
		t.Fatalf("consent: %d", a.Status)
	}
	query := h.webQuery()
	query.Set("id_token_hint", before.idToken(before.agent(), john))
	if a := h.follow(browser, h.get(browser, "/authorize?"+query.Encode())); !strings.Contains(a.Header.Get("Location"), "code=") {
		t.Errorf("with pages: %d %q", a.Status, a.Header.Get("Location"))
	}
	wantSilent(t, h, browser, query, "login_required")
	query.Del("id_token_hint")
	if got := h.silent(browser, query); got.Get("code") == "" {
		t.Errorf("without it: %v", got)
	}
}
