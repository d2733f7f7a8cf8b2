package authserver

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ask walks to the passcode page.
func (h *harness) ask(browser *http.Client, email string) answer {
	h.Helper()
	page := h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(h.agent()).Encode()))
	form := fields(page)
	form.Set("email", email)
	return h.follow(browser, h.post(browser, "/signin", form))
}

func (h *harness) try(browser *http.Client, page answer, passcode string) answer {
	h.Helper()
	form := fields(page)
	form.Set("passcode", passcode)
	return h.follow(browser, h.post(browser, "/passcode", form))
}

func TestWrongPasscode(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	page := h.ask(browser, john)
	right := h.mail.passcode(john)
	wrong := "00000000"
	if right == wrong {
		wrong = "00000001"
	}
	page = h.try(browser, page, wrong)
	if page.Status != http.StatusBadRequest || !strings.Contains(page.Body, "Tries left: 4") {
		t.Fatalf("wrong passcode: %d %s", page.Status, page.Body)
	}
	if page = h.try(browser, page, right[:4]+" "+right[4:]); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("the right passcode after a wrong one, with a space: %d %s", page.Status, page.Body)
	}
}

// TestPasscodeDies: five wrong tries end a passcode, also in parallel (attack
// O1), and a new one starts afresh.
func TestPasscodeDies(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	page := h.ask(browser, john)
	right := h.mail.passcode(john)
	parallel(100, func() bool { h.try(browser, page, "0"); return true })
	if p, err := h.db.Passcode(t.Context(), fields(page).Get("request")); err != nil || p.Attempts != 5 {
		t.Errorf("%d tries were compared, want 5 (%v)", p.Attempts, err)
	}
	if dead := h.try(browser, page, right); strings.Contains(dead.Body, "Allow access?") || !strings.Contains(dead.Body, "cannot be used any more") {
		t.Errorf("a dead passcode: %d %s", dead.Status, dead.Body)
	}
	form := fields(page)
	form.Set("email", john)
	page = h.follow(browser, h.post(browser, "/signin", form)) // resend
	if old := h.try(browser, page, right); strings.Contains(old.Body, "Allow access?") {
		t.Error("the passcode that was sent before still works (attack O5)")
	}
	if page = h.try(browser, page, h.mail.passcode(john)); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("the new passcode: %d %s", page.Status, page.Body)
	}
}

func TestPasscodeExpires(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	page := h.ask(browser, john)
	h.wait(5*time.Minute + time.Second)
	if a := h.try(browser, page, h.mail.passcode(john)); !strings.Contains(a.Body, "cannot be used any more") {
		t.Errorf("expired passcode: %d %s", a.Status, a.Body)
	}
	h.wait(10 * time.Minute)
	if a := h.try(browser, page, h.mail.passcode(john)); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "This sign-in is over") {
		t.Errorf("expired request: %d %s", a.Status, a.Body)
	}
}

// TestPasscodeIsBoundToItsRequest: attack O6.
func TestPasscodeIsBoundToItsRequest(t *testing.T) {
	h := newHarness(t)
	first, second := h.newBrowser(), h.newBrowser()
	h.ask(first, john)
	mine := h.mail.passcode(john)
	page := h.ask(second, jane)
	if a := h.try(second, page, mine); strings.Contains(a.Body, "Allow access?") {
		t.Error("a passcode of another request was accepted")
	}
}

// TestUnknownUser: who is not approved sees what everybody sees, and gets no
// mail (attack O7).
func TestUnknownUser(t *testing.T) {
	h := newHarness(t)
	normal := func(a answer, email string) string {
		for _, v := range []string{maskedAddress(email), fields(a).Get("request"), fields(a).Get("csrf")} {
			a.Body = strings.ReplaceAll(a.Body, v, "…")
		}
		return a.Body
	}
	known := normal(h.ask(h.newBrowser(), john), john)
	sent := h.mail.count()
	for _, email := range []string{"nobody@demo.example", "pending.user@demo.example", "suspended.user@demo.example"} {
		browser := h.newBrowser()
		page := h.ask(browser, email)
		if diff := cmp.Diff(known, normal(page, email)); diff != "" {
			t.Errorf("%s sees another page (-known +got):\n%s", email, diff)
		}
		if a := h.try(browser, page, "12345678"); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "Tries left: 4") {
			t.Errorf("%s: guessing is answered otherwise: %d %s", email, a.Status, a.Body)
		}
	}
	if h.mail.count() != sent {
		t.Error("somebody who may not sign in got mail")
	}
}

// TestMailLimits: attack O8, and with it O1: who gets no new passcode cannot
// guess it. The page does not change, the mails stop.
func TestMailLimits(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.PasscodesPerAddress, c.PasscodesPerIP = 3, 5 })
	for i := range 5 {
		if page := h.ask(h.newBrowser(), john); page.Status != http.StatusOK || !strings.Contains(page.Body, "Enter the passcode") {
			t.Errorf("request %d: %d", i, page.Status)
		}
	}
	if got := h.mail.count(); got != 3 {
		t.Errorf("%d mails, want 3", got)
	}
	h.ask(h.newBrowser(), "one@demo.example")
	h.ask(h.newBrowser(), "two@demo.example")
	a := h.ask(h.newBrowser(), jane)
	if a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("over the limit of the network: %d", a.Status)
	}
	h.wait(time.Hour + time.Second)
	h.ask(h.newBrowser(), john)
	if got := h.mail.count(); got != 4 {
		t.Errorf("%d mails after an hour, want 4", got)
	}
}

// TestMailDown: an outage is a 503 for everybody alike.
func TestMailDown(t *testing.T) {
	h := newHarness(t)
	h.mail.down = errors.New("connection refused")
	for _, email := range []string{john, "nobody@demo.example"} {
		a := h.ask(h.newBrowser(), email)
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || !strings.Contains(a.Body, "No mail can be sent") || strings.Contains(a.Body, "refused") {
			t.Errorf("%s: %d %s", email, a.Status, a.Body)
		}
	}
}

// TestStoreDown: without its database the server answers 503, never that a
// token, a client or a session is not good.
func TestStoreDown(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	tokens := h.tokens(agent, john).JSON
	browser := h.newBrowser()
	h.signInAs(browser, h.authorizeQuery(agent), john)
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]answer{
		"introspect": h.post(h.newBrowser(), "/introspect", url.Values{"token": {tokens["access_token"].(string)}}, basic("gateway")...),
		"refresh":    h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {tokens["refresh_token"].(string)}}),
		"revoke":     h.post(h.newBrowser(), "/revoke", url.Values{"client_id": {agent}, "token": {tokens["access_token"].(string)}}), // R10
		"authorize":  h.get(browser, "/authorize?"+h.authorizeQuery(agent).Encode()),
		"page":       h.get(browser, "/signin?request=x"),
		"health":     h.get(h.newBrowser(), "/healthz"),
	} {
		if a.Status != http.StatusServiceUnavailable || strings.Contains(a.Body, "sql") || name != "health" && a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v %s", name, a.Status, a.Header, a.Body)
		}
	}
}

// TestLocalErrors: what must never be redirected (attacks A3, A6, A7, A8).
func TestLocalErrors(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	for name, change := range map[string]func(url.Values){
		"unknown client":                 func(q url.Values) { q.Set("client_id", `dcr-"><script>alert(1)</script>`) },
		"no client":                      func(q url.Values) { q.Del("client_id") },
		"client document out of reach":   func(q url.Values) { q.Set("client_id", "https://127.0.0.1/client.json") },
		"no redirect URI":                func(q url.Values) { q.Del("redirect_uri") },
		"other redirect URI":             func(q url.Values) { q.Set("redirect_uri", "https://evil.example/cb") },
		"bad redirect URI and bad scope": func(q url.Values) { q.Set("redirect_uri", "https://evil.example/cb"); q.Set("scope", "admin") },
		"repeated client":                func(q url.Values) { q.Add("client_id", "other") },
		"repeated redirect URI":          func(q url.Values) { q.Add("redirect_uri", callback) },
		"repeated state":                 func(q url.Values) { q.Add("state", "other") },
		"repeated challenge":             func(q url.Values) { q.Add("code_challenge", challenge) },
		"repeated scope":                 func(q url.Values) { q.Add("scope", "stocks/read") },
	} {
		query := h.authorizeQuery(agent)
		change(query)
		browser := h.newBrowser()
		h.get(browser, "/device") // from then on it has the cookie, and forms are answered at once
		for _, a := range []answer{h.get(h.newBrowser(), "/authorize?"+query.Encode()), h.post(browser, "/authorize", query)} {
			if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || strings.Contains(a.Body, "<script") {
				t.Errorf("%s: %d, Location %q", name, a.Status, a.Header.Get("Location"))
			}
		}
	}
	if a := h.post(h.newBrowser(), "/authorize?client_id="+agent, h.authorizeQuery(agent)); a.Status != http.StatusBadRequest {
		t.Errorf("parameters in query and body: %d", a.Status)
	}
}

// TestForms: a form without its token, with another's, or from another site
// changes nothing (attack O14).
func TestForms(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	page := h.signInAs(browser, h.authorizeQuery(h.agent()), john)
	allow := fields(page)
	allow.Set("decision", "allow")
	with := func(name, value string) url.Values {
		form := url.Values{}
		for k, v := range allow {
			form[k] = v
		}
		form.Set(name, value)
		return form
	}
	other := fields(h.signInAs(h.newBrowser(), h.authorizeQuery(h.agent()), john))
	for name, a := range map[string]answer{
		"no token":                h.post(browser, "/consent", with("csrf", "")),
		"another session's token": h.post(browser, "/consent", with("csrf", other.Get("csrf"))),
		"foreign origin":          h.post(browser, "/consent", allow, "Origin", "https://evil.example"),
		"cross-site":              h.post(browser, "/consent", allow, "Sec-Fetch-Site", "cross-site"),
		"same site, other host":   h.post(browser, "/consent", allow, "Sec-Fetch-Site", "same-site"),
	} {
		if a.Status != http.StatusForbidden || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d, Location %q", name, a.Status, a.Header.Get("Location"))
		}
	}
	if a := h.post(browser, "/consent", with("decision", "maybe")); a.Status != http.StatusBadRequest {
		t.Errorf("no decision: %d", a.Status)
	}
	if a := h.post(browser, "/consent", allow, "Origin", h.cfg.Issuer(), "Sec-Fetch-Site", "same-origin"); a.Status != http.StatusSeeOther { // A12
		t.Errorf("the right form: %d %s", a.Status, a.Body)
	}
}

// TestPageHeaders: attacks A13, O13 and O15, on every page and error.
func TestPageHeaders(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	query := h.authorizeQuery(h.agent())
	begun := h.get(browser, "/authorize?"+query.Encode())
	signin := h.follow(browser, begun)
	passcode := h.ask(h.newBrowser(), john)
	consent := h.signInAs(h.newBrowser(), query, john)
	owner, access := h.trader(query.Get("client_id"), john)
	order := h.ordered(access, aldp)
	approve := h.get(owner, approvePath(order))
	sheet := h.get(browser, styleSheet())
	if sheet.Status != http.StatusOK || !strings.HasPrefix(sheet.Header.Get("Content-Type"), "text/css") || strings.Contains(sheet.Body, "url(") || strings.Contains(sheet.Body, "@import") {
		t.Errorf("style sheet: %d %v", sheet.Status, sheet.Header)
	}
	for name, a := range map[string]answer{
		"sign in": signin, "passcode": passcode, "consent": consent, "approve": approve, "approved": h.settle(owner, order, "allow"), "account": h.get(owner, "/account"), "device": h.get(browser, "/device"), "sign out": h.get(browser, "/signout"), "home": h.get(browser, "/"),
		"local error": h.get(browser, "/authorize"), "stale": h.get(browser, "/consent?request=x"), "not found": h.get(browser, "/nothing"),
	} {
		csp := a.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") ||
			a.Header.Get("X-Frame-Options") != "DENY" || a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" ||
			a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", name, a.Header)
		}
		if weight := len(a.Body) + len(sheet.Body); weight > 60_000 {
			t.Errorf("%s weighs %d bytes", name, weight)
		}
		if strings.Count(a.Body, "<h1>") != 1 || !strings.Contains(a.Body, `<html lang="en">`) {
			t.Errorf("%s: want one heading and a language: %s", name, a.Body)
		}
		if strings.Contains(a.Body, "<script") || strings.Contains(a.Body, "style=") || strings.Contains(a.Body, `src="http`) {
			t.Errorf("%s: script, inline style or third-party content", name)
		}
	}
	for _, cookie := range begun.Header.Values("Set-Cookie") {
		for _, want := range []string{"__Host-", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"} {
			if !strings.Contains(cookie, want) || strings.Contains(cookie, "Domain") {
				t.Errorf("cookie %q lacks %s", cookie, want)
			}
		}
	}
}

// TestResend: the passcode page shows the address by halves, and has a new
// passcode sent after a while, which ends the one before (attack O5); a server
// that is asked too early waits as well.
func TestResend(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	page := h.ask(browser, john)
	if strings.Contains(page.Body, john) || !strings.Contains(page.Body, "j•••@demo.example") || !strings.Contains(page.Body, `class="resend wait3`) {
		t.Errorf("%s", page.Body)
	}
	again := with(fields(page), "again", "1")
	first, sent := h.mail.passcode(john), h.mail.count()
	if early := h.follow(browser, h.post(browser, "/signin", again)); h.mail.count() != sent || !strings.Contains(early.Body, "Enter the passcode") {
		t.Errorf("asked at once: %d mails more, %s", h.mail.count()-sent, early.Body)
	}
	h.wait(18 * time.Second)
	if later := h.get(browser, "/passcode?request="+again.Get("request")); !strings.Contains(later.Body, `class="resend wait15"`) {
		t.Errorf("with 12 seconds to go: %s", later.Body)
	}
	h.wait(12 * time.Second)
	page = h.follow(browser, h.post(browser, "/signin", again))
	if h.mail.count() != sent+1 {
		t.Fatalf("asked after half a minute: %s", page.Body)
	}
	if first != h.mail.passcode(john) { // the same once in 10^8 runs
		if a := h.try(browser, page, first); strings.Contains(a.Body, "Allow access?") {
			t.Error("O5 the first passcode still works")
		}
	}
	for range 5 {
		page = h.try(browser, page, "x")
	}
	h.follow(browser, h.post(browser, "/signin", again)) // nothing is on its way any more: no wait
	if h.mail.count() != sent+2 {
		t.Error("a passcode that died has to be waited for")
	}
	if page = h.try(browser, page, h.mail.passcode(john)); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("%s", page.Body)
	}
}

// TestHostileName: attack D3. What a client calls itself stays text.
func TestHostileName(t *testing.T) {
	h := newHarness(t)
	for _, name := range []string{`<script>alert(1)</script>`, `"onerror="alert(1)`, "Bank\u202egnp.exe", "A\x00\nB", "zero\u200bwidth", ""} {
		agent := h.register(map[string]any{"client_name": name, "redirect_uris": []string{callback}, "token_endpoint_auth_method": "none"})
		browser := h.newBrowser()
		a := h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(agent).Encode()))
		if a.Status != http.StatusOK || strings.ContainsAny(a.Body, "\u202e\u200b\x00") || strings.Contains(a.Body, "<script") || strings.Contains(a.Body, `"onerror=`) {
			t.Errorf("%q: %d %s", name, a.Status, a.Body)
		}
	}
}

// TestSession: a second client needs consent only; prompt, max_age and time
// ask for a passcode again (attack O12).
func TestSession(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	agent := h.agent()
	h.decide(browser, h.signInAs(browser, h.authorizeQuery(agent), john), "allow")
	begin := func(name, value string) answer {
		query := h.authorizeQuery(h.agent())
		if name != "" {
			query.Set(name, value)
		}
		return h.follow(browser, h.get(browser, "/authorize?"+query.Encode()))
	}
	if a := begin("", ""); !strings.Contains(a.Body, "Allow access?") {
		t.Errorf("second client: %s", a.Body)
	}
	for name, value := range map[string]string{"prompt": "login", "max_age": "0"} {
		if a := begin(name, value); !strings.Contains(a.Body, "Send me a passcode") {
			t.Errorf("%s=%s: %s", name, value, a.Body)
		}
	}
	out := h.post(browser, "/signout", fields(h.get(browser, "/signout")))
	if out.Status != http.StatusSeeOther {
		t.Fatalf("sign out: %d %s", out.Status, out.Body)
	}
	if a := begin("", ""); !strings.Contains(a.Body, "Send me a passcode") {
		t.Errorf("after signing out: %s", a.Body)
	}
	h.decide(browser, h.signInAs(browser, h.authorizeQuery(agent), john), "allow")
	h.wait(61 * time.Minute)
	if a := begin("", ""); !strings.Contains(a.Body, "Send me a passcode") {
		t.Errorf("after an idle hour: %s", a.Body)
	}
}

// TestSuspended: whoever is suspended is out at once, everywhere (R6).
func TestSuspended(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	tokens := h.tokens(agent, john).JSON
	user, err := h.db.UserByEmail(t.Context(), john)
	if err != nil {
		t.Fatal(err)
	}
	jwt := h.phantom(tokens["access_token"].(string))
	if err := h.login.Suspend(t.Context(), h.userID(boss), user.ID); err != nil {
		t.Fatal(err)
	}
	if got := h.introspected(tokens["access_token"].(string)); got["active"] != false {
		t.Error("the access token still works")
	}
	wantError(h, "refresh", h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {tokens["refresh_token"].(string)}}), 400, "invalid_grant")
	wantError(h, "exchange", h.post(h.newBrowser(), "/token", exchangeForm(jwt, h.cfg.APIResource()), basic("stocksmcp")...), 400, "invalid_request") // X4
}

// TestNoSecretsInLogs: attack G16, for this service.
func TestNoSecretsInLogs(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	code := h.code(h.authorizeQuery(agent), john)
	tokens := h.post(h.newBrowser(), "/token", redeemForm(agent, code)).JSON
	access := tokens["access_token"].(string)
	jwt := h.phantom(access)
	h.post(h.newBrowser(), "/token", exchangeForm(jwt, h.cfg.APIResource()), basic("stocksmcp")...)
	h.post(h.newBrowser(), "/token", redeemForm(agent, code))
	logs := h.logs.String()
	for name, secret := range map[string]string{
		"code": code, "access token": access, "refresh token": tokens["refresh_token"].(string), "JWT": jwt,
		"passcode": h.mail.passcode(john), "verifier": verifier, "client secret": "client-gateway" + secretFor,
	} {
		if strings.Contains(logs, secret) {
			t.Errorf("the log holds a %s", name)
		}
	}
	if !strings.Contains(logs, "authorization code replayed") {
		t.Error("a replay is not logged")
	}
}
