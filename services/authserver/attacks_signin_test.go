package authserver

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/store"
)

// Section O of docs/security.md, as far as pages_test.go does not have it:
// O1, O5, O8, O13 to O15 are there, and the page's part of O7, whose timing is in timing_test.go; O17 is also in
// flow_test.go and clienthost_test.go.

// TestVictimIsNotLockedOut: attack O3.
func TestVictimIsNotLockedOut(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.PasscodesPerAddress = 10 })
	session := h.newBrowser()
	agent := h.agent()
	h.decide(session, h.signInAs(session, h.authorizeQuery(agent), john), "allow")
	open := h.newBrowser()
	mine := h.ask(open, john)
	passcode := h.mail.passcode(john)
	attack := func() {
		attacker := h.newBrowser()
		page := h.ask(attacker, john)
		for range 6 {
			h.try(attacker, page, "00000000")
		}
	}
	for range 5 {
		attack()
	}
	if page := h.signInAs(session, h.authorizeQuery(agent), john); !strings.Contains(page.Body, "Allow access?") {
		t.Error("O3 the victim's session ended")
	}
	if page := h.signInAs(h.newBrowser(), h.authorizeQuery(agent), john); !strings.Contains(page.Body, "Allow access?") {
		t.Error("O3 the victim cannot sign in anew")
	}
	if page := h.try(open, mine, passcode); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("O3 the passcode that the victim waits with: %s", page.Body)
	}
	// The most that an attacker reaches is the limit of mails to an address,
	// and that is over in an hour. Who is signed in notices nothing.
	for range 10 {
		attack()
	}
	sent := h.mail.count()
	h.ask(h.newBrowser(), john)
	if h.mail.count() != sent {
		t.Fatal("the limit was not reached")
	}
	if page := h.signInAs(session, h.authorizeQuery(agent), john); !strings.Contains(page.Body, "Allow access?") {
		t.Error("O3 the victim's session ended at the limit")
	}
	h.wait(time.Hour)
	if page := h.signInAs(h.newBrowser(), h.authorizeQuery(agent), john); !strings.Contains(page.Body, "Allow access?") {
		t.Error("O3 locked out for longer than an hour")
	}
}

// TestPasscodeWorksOnce: attack O4, and O6 for another browser and address.
func TestPasscodeWorksOnce(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	page := h.ask(browser, john)
	form := fields(page)
	form.Set("passcode", h.mail.passcode(john))
	if a := h.post(h.newBrowser(), "/passcode", form); a.Status == http.StatusSeeOther {
		t.Error("O6 it worked in another browser")
	}
	if got := parallel(5, func() bool { // as many as there are tries
		return strings.HasPrefix(h.post(browser, "/passcode", form).Header.Get("Location"), "/consent")
	}); got != 1 {
		t.Errorf("O4 one passcode worked %d times at once", got)
	}
	if a := h.post(browser, "/passcode", form); strings.HasPrefix(a.Header.Get("Location"), "/consent") {
		t.Error("O4 it worked again")
	}
	if got := h.count("SELECT COUNT(*) FROM sessions"); got != 1 {
		t.Errorf("O4 %d sessions of one passcode", got)
	}
	for range 3 {
		browser = h.newBrowser()
		page = h.ask(browser, john)
		form = fields(page)
		form.Set("passcode", h.mail.passcode(john))
		if got := parallel(20, func() bool {
			return strings.HasPrefix(h.post(browser, "/passcode", form).Header.Get("Location"), "/consent")
		}); got != 1 {
			t.Errorf("O4 one passcode worked %d times of 20 at once", got)
		}
	}
	// O6: asked for again with another address, the first code is dead.
	browser = h.newBrowser()
	page = h.ask(browser, john)
	first := h.mail.passcode(john)
	form = fields(page)
	form.Set("email", jane)
	page = h.follow(browser, h.post(browser, "/signin", form))
	if a := h.try(browser, page, first); strings.Contains(a.Body, "Allow access?") {
		t.Error("O6 a passcode signed another address in")
	}
}

// TestPasscodeStorage: attack O10.
func TestPasscodeStorage(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	page := h.ask(browser, john)
	passcode := h.mail.passcode(john)
	id := fields(page).Get("request")
	if len(passcode) != 8 || strings.Trim(passcode, "0123456789") != "" {
		t.Errorf("O10 passcode %q, want 8 digits: 26 bits", passcode)
	}
	stored, err := h.db.Passcode(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody who has the database alone can try 10^8 codes out: no hash of
	// the code, alone or with what lies beside it, is there.
	for _, plain := range []string{passcode, id + passcode, id + "\x00" + passcode, passcode + id, john + passcode} {
		if stored.MAC == store.HashOf(plain) {
			t.Errorf("O10 the stored hash has no key: SHA-256 of %q", plain)
		}
	}
	if strings.Contains(h.dump(), passcode) || strings.Contains(h.logs.String(), passcode) || strings.Contains(page.Body, passcode) || strings.Contains(page.Header.Get("Location"), passcode) {
		t.Error("O10 the passcode is in the database, the log, the page or the URL")
	}
	// Drawn evenly: each digit at each of 8 places about a tenth of the time.
	counts := [8][10]int{}
	const draws = 600
	form := fields(page)
	form.Set("email", john)
	for i := range draws {
		if i%50 == 0 {
			h.wait(time.Hour) // within the limits, and the request is made anew
			browser = h.newBrowser()
			form = fields(h.ask(browser, john))
			form.Set("email", john)
		}
		if a := h.post(browser, "/signin", form); a.Status != http.StatusSeeOther {
			t.Fatalf("draw %d: %d", i, a.Status)
		}
		for place, digit := range []byte(h.mail.passcode(john)) {
			counts[place][digit-'0']++
		}
	}
	for place, digits := range counts {
		for digit, got := range digits {
			if got < 25 || got > 110 { // 60 expected, five standard deviations
				t.Errorf("O10 digit %d came %d times of %d at place %d", digit, got, draws, place)
			}
		}
	}
}

// TestHostHeader: attack O11. No header of a request chooses what is mailed,
// issued or advertised.
func TestHostHeader(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	issuer, err := url.Parse(h.cfg.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	evil := func(method, path string, form url.Values) answer {
		h.Helper()
		req := h.request(method, path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Forwarded", "for=1.2.3.4;host=evil.example;proto=http",
			"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-Port", "80", "X-Forwarded-Prefix", "/evil", "X-Original-Host", "evil.example", "X-Host", "evil.example")
		req.Host = "evil.example"
		for _, c := range browser.Jar.Cookies(issuer) {
			req.AddCookie(c) // the client looks them up by Host
		}
		a := h.do(browser, req)
		browser.Jar.SetCookies(issuer, (&http.Response{Header: a.Header}).Cookies())
		if strings.Contains(a.Body, "evil") || strings.Contains(fmt.Sprint(a.Header), "evil") {
			t.Errorf("O11 %s %s: the answer names another host: %v %s", method, path, a.Header, a.Body)
		}
		return a
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks", "/", "/signout", "/device"} {
		if a := evil(http.MethodGet, path, nil); a.Status != http.StatusOK {
			t.Errorf("O11 %s: %d", path, a.Status)
		}
	}
	begun := evil(http.MethodGet, "/authorize?"+h.authorizeQuery(h.agent()).Encode(), nil)
	page := h.follow(browser, begun)
	form := fields(page)
	form.Set("email", john)
	if a := evil(http.MethodPost, "/signin", form); a.Status != http.StatusSeeOther {
		t.Fatalf("O11 sign in: %d %s", a.Status, a.Body)
	}
	h.mail.mu.Lock()
	message := h.mail.messages[len(h.mail.messages)-1]
	h.mail.mu.Unlock()
	if message.Site != h.cfg.Issuer() || strings.Contains(fmt.Sprintf("%+v", message), "evil") {
		t.Errorf("O11 the mail names another host: %+v", message)
	}
	form = fields(page)
	form.Set("passcode", h.mail.passcode(john))
	evil(http.MethodPost, "/passcode", form)
	form = fields(h.follow(browser, h.get(browser, "/consent?request="+form.Get("request"))))
	form.Set("decision", "allow")
	back, err := url.Parse(evil(http.MethodPost, "/consent", form).Header.Get("Location"))
	if err != nil || back.Query().Get("iss") != h.cfg.Issuer() {
		t.Errorf("O11 authorization response %v", back)
	}
	if a := evil(http.MethodPost, "/device_authorization", url.Values{"client_id": {h.console()}}); a.JSON["verification_uri"] != h.cfg.Issuer()+"/device" {
		t.Errorf("O11 verification_uri %v", a.JSON["verification_uri"])
	}
}

// TestSessionFixation: attacks O12 and O13.
func TestSessionFixation(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	signIn := func(browser *http.Client, header ...string) (cookie string) {
		h.Helper()
		page := h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(agent).Encode()))
		form := fields(page)
		form.Set("email", john)
		form = fields(h.follow(browser, h.post(browser, "/signin", form)))
		form.Set("passcode", h.mail.passcode(john))
		a := h.post(browser, "/passcode", form, header...)
		for _, c := range a.Header.Values("Set-Cookie") {
			if strings.HasPrefix(c, sessionCookie+"=") {
				for _, want := range []string{"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} {
					if !strings.Contains(c, want) || strings.Contains(c, "Domain") {
						t.Errorf("O13 cookie %q lacks %s", c, want)
					}
				}
				return strings.TrimPrefix(strings.SplitN(c, ";", 2)[0], sessionCookie+"=")
			}
		}
		t.Fatalf("no session: %d %s", a.Status, a.Body)
		return ""
	}
	issuer, err := url.Parse(h.cfg.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	plant := func(value string) *http.Client {
		browser := h.newBrowser()
		browser.Jar.SetCookies(issuer, []*http.Cookie{{Name: sessionCookie, Value: value, Path: "/", Secure: true}})
		return browser
	}
	isSignedIn := func(browser *http.Client) bool {
		return strings.Contains(h.get(browser, "/signout").Body, "You are signed in as "+john)
	}
	victim := plant("planted")
	first := signIn(victim)
	if first == "planted" || len(first) < 26 { // of 32 letters: 130 bits
		t.Errorf("O12 O13 session cookie %q", first)
	}
	if isSignedIn(plant("planted")) {
		t.Error("O12 the planted cookie is signed in")
	}
	hash := store.HashOf(first)
	if isSignedIn(plant(hex.EncodeToString(hash[:]))) {
		t.Error("O12 the hash in the database is a cookie")
	}
	if !isSignedIn(plant(first)) || !isSignedIn(victim) {
		t.Error("the session does not work")
	}
	form := fields(h.get(victim, "/signout"))
	if a := h.post(victim, "/signout", form); a.Status != http.StatusSeeOther {
		t.Fatalf("sign out: %d", a.Status)
	}
	if isSignedIn(plant(first)) {
		t.Error("O12 signing out left the session alive at the server")
	}
	second := signIn(victim)
	if second == first {
		t.Error("O12 the session cookie did not change")
	}
	for range 15 { // used all the time, so never idle
		h.wait(32 * time.Minute)
		isSignedIn(victim)
	}
	if h.wait(time.Minute); isSignedIn(victim) {
		t.Error("O12 a session outlived eight hours")
	}
}

// TestTamperedConsent: attack O16. What the user decides on is what the client
// asked for, whatever the form says.
func TestTamperedConsent(t *testing.T) {
	h := newHarness(t)
	victim, thief := h.agent(), h.register(plus(agentMetadata(), "client_name", "Thief", "redirect_uris", []string{"https://evil.example/cb"}))
	browser := h.newBrowser()
	page := h.signInAs(browser, h.authorizeQuery(victim), john)
	query := h.authorizeQuery(thief)
	query.Set("redirect_uri", "https://evil.example/cb")
	other := h.signInAs(browser, query, john) // the same browser, another request
	if !strings.Contains(other.Body, "Allow access?") {
		t.Fatalf("O16 the second client was not asked about: %s", other.Body)
	}
	form := fields(page)
	for name, value := range map[string]string{
		"decision": "allow", "client_id": thief, "redirect_uri": "https://evil.example/cb", "scope": "stocks/read openid email offline_access admin", "resource": h.cfg.APIResource(),
		"state": "evil", "user_id": "user-x", "email": jane, "sub": "user-x", "code_challenge": strings.Repeat("A", 43), "RedirectURI": "https://evil.example/cb",
	} {
		form.Set(name, value)
	}
	mixed := url.Values{"request": {fields(other).Get("request")}, "csrf": {fields(page).Get("csrf")}, "decision": {"allow"}}
	if a := h.post(browser, "/consent", mixed); a.Status != http.StatusForbidden {
		t.Errorf("O16 a form of one request decided another: %d", a.Status)
	}
	back, err := url.Parse(h.post(browser, "/consent", form).Header.Get("Location"))
	if err != nil || !strings.HasPrefix(back.String(), callback) || back.Query().Get("state") != "st" {
		t.Fatalf("O16 Location %v", back)
	}
	code := back.Query().Get("code")
	wantError(h, "O16 the thief redeems", h.post(h.newBrowser(), "/token", redeemForm(thief, code)), 400, "invalid_grant")
	tokens := h.post(h.newBrowser(), "/token", redeemForm(victim, code)).JSON
	if tokens["scope"] != "stocks/read" {
		t.Errorf("O16 scope %v", tokens["scope"])
	}
	got := h.introspected(tokens["access_token"].(string))
	if got["aud"] != h.cfg.MCPResource() || got["client_id"] != victim || got["region"] != "USA" {
		t.Errorf("O16 claims %v", got)
	}
	// O17: who asks, how it is known, where the answer goes, for what.
	for _, want := range []string{"Thief", "It registered itself. Nobody checked", "evil.example", "stock prices", h.cfg.MCPResource()} {
		if !strings.Contains(other.Body, want) {
			t.Errorf("O17 the consent page does not say %q", want)
		}
	}
	// O18: a mailbox is no strong authentication, and nothing says so.
	if acr := fmt.Sprint(got["acr"]); acr != "urn:demo:acr:email-otp" || got["amr"] != nil {
		t.Errorf("O18 acr %v, amr %v", got["acr"], got["amr"])
	}
}
