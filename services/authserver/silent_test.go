package authserver

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// newTrap starts a server that nobody should call.
func newTrap(t *testing.T, handler http.Handler) string {
	t.Helper()
	trap := httptest.NewServer(handler)
	t.Cleanup(trap.Close)
	return trap.URL
}

const webCallback = "https://client.demo.localhost:8443/callback"

// webQuery is an authorization request of the reviewed client.
func (h *harness) webQuery() url.Values {
	query := h.authorizeQuery("stocks-web")
	query.Set("redirect_uri", webCallback)
	query.Set("resource", h.cfg.APIResource())
	return query
}

// idToken returns an ID token of a user for a public client.
func (h *harness) idToken(client, email string) string {
	h.Helper()
	query := h.authorizeQuery(client)
	query.Set("scope", "stocks/read openid")
	token, _ := h.post(h.newBrowser(), "/token", redeemForm(client, h.code(query, email))).JSON["id_token"].(string)
	if token == "" {
		h.Fatal("no ID token")
	}
	return token
}

// silent sends a request with prompt=none and returns what the client gets.
func (h *harness) silent(browser *http.Client, query url.Values) url.Values {
	h.Helper()
	query.Set("prompt", "none")
	a := h.get(browser, "/authorize?"+query.Encode())
	location, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.Status != http.StatusFound || !strings.HasPrefix(location.String(), query.Get("redirect_uri")+"?") {
		h.Fatalf("prompt=none: %d, Location %q", a.Status, a.Header.Get("Location"))
	}
	return location.Query()
}

func wantSilent(t *testing.T, h *harness, browser *http.Client, query url.Values, code string) {
	t.Helper()
	got := h.silent(browser, query)
	if got.Get("error") != code || got.Get("state") != "st" || got.Get("iss") != h.cfg.Issuer() || got.Has("code") {
		t.Errorf("prompt=none: %v, want %s", got, code)
	}
}

func (h *harness) allow(browser *http.Client, page answer) answer {
	form := fields(page)
	form.Set("decision", "allow")
	return h.post(browser, "/consent", form)
}

// TestPromptNone: a client may ask without a page, and gets a code only where
// one more page would have said nothing new (A18).
func TestPromptNone(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	wantSilent(t, h, browser, h.webQuery(), "login_required")
	agent := h.agent()
	h.decide(browser, h.signInAs(browser, h.authorizeQuery(agent), john), "allow")
	wantSilent(t, h, browser, h.webQuery(), "consent_required")
	wantSilent(t, h, browser, h.authorizeQuery(agent), "consent_required") // nobody reviewed it: it is asked about every time
	if a := h.allow(browser, h.signInAs(browser, h.webQuery(), john)); !strings.Contains(a.Header.Get("Location"), "code=") {
		t.Fatalf("consent: %d", a.Status)
	}
	got := h.silent(browser, h.webQuery())
	if got.Get("code") == "" || got.Get("iss") != h.cfg.Issuer() {
		t.Fatalf("with a session and remembered consent: %v", got)
	}
	form := redeemForm("stocks-web", got.Get("code"))
	form.Set("redirect_uri", webCallback)
	if a := h.post(h.newBrowser(), "/token", form, basic("stocks-web")...); a.Status != http.StatusOK {
		t.Errorf("the silent code: %d %s", a.Status, a.Body)
	}
	wider := h.webQuery()
	wider.Set("scope", "stocks/read email openid")
	wantSilent(t, h, browser, wider, "consent_required")
	wantSilent(t, h, h.newBrowser(), h.webQuery(), "login_required") // another browser
	aged := h.webQuery()
	aged.Set("max_age", "60")
	h.wait(2 * time.Minute)
	wantSilent(t, h, browser, aged, "login_required")
	if n := h.rows()["requests"]; n != 0 {
		t.Errorf("%d requests were left behind", n)
	}
	mixed := h.webQuery()
	mixed.Set("prompt", "none login")
	if a := h.get(browser, "/authorize?"+mixed.Encode()); !strings.Contains(a.Header.Get("Location"), "error=invalid_request") {
		t.Errorf("prompt=none login: Location %q", a.Header.Get("Location"))
	}
}

// TestIDTokenHint: a hint never signs anybody in, and keeps others out (A18).
func TestIDTokenHint(t *testing.T) {
	h := newHarness(t)
	agent, browser := h.agent(), h.newBrowser()
	ofJohn, ofJane := h.idToken(agent, john), h.idToken(agent, jane)
	h.decide(browser, h.signInAs(browser, h.authorizeQuery(agent), john), "allow")
	with := func(hint string) url.Values {
		query := h.authorizeQuery(agent)
		query.Set("id_token_hint", hint)
		return query
	}
	if page := h.follow(browser, h.get(browser, "/authorize?"+with(ofJohn).Encode())); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("a hint of the user who is signed in: %s", page.Body)
	}
	h.wait(time.Hour - time.Minute) // the hint expired; the session did not
	if page := h.follow(browser, h.get(browser, "/authorize?"+with(ofJohn).Encode())); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("an expired hint of the user who is signed in: %s", page.Body)
	}
	page := h.follow(browser, h.get(browser, "/authorize?"+with(ofJane).Encode()))
	if !strings.Contains(page.Body, "Send me a passcode") {
		t.Fatalf("a hint of another user: %s", page.Body)
	}
	form := fields(page)
	form.Set("email", john) // signs in as John again, though Jane is meant
	h.follow(browser, h.post(browser, "/signin", form))
	form.Set("passcode", h.mail.passcode(john))
	a := h.get(browser, h.post(browser, "/passcode", form).Header.Get("Location"))
	if location := a.Header.Get("Location"); !strings.HasPrefix(location, callback) || !strings.Contains(location, "error=login_required") || strings.Contains(location, "code=") {
		t.Errorf("another user than the hinted one: %d %q", a.Status, location)
	}
	other := h.idToken(h.agent(), john)
	access := h.phantom(h.tokens(agent, john).JSON["access_token"].(string))
	_, claims := claimsOf(t, ofJohn)
	claims["iss"] = "https://other.example"
	foreign, err := h.keys.Sign("JWT", jwt.MapClaims(claims)) // as by a deployment that had this one's keys and another name
	if err != nil {
		t.Fatal(err)
	}
	for name, hint := range map[string]string{"another issuer's": foreign, "garbage": "x", "empty": "", "another client's": other, "an access token": access, "signature cut": ofJohn[:len(ofJohn)-4]} {
		wantRedirectError(h, name, with(hint), "invalid_request")
	}
}

// TestStepUp: trading takes a fresh passcode, and is never given by default.
func TestStepUp(t *testing.T) {
	h := newHarness(t)
	agent, browser := h.agent(), h.newBrowser()
	plain, trade := h.authorizeQuery(agent), h.authorizeQuery(agent)
	plain.Del("scope")
	trade.Set("scope", "stocks/read stocks/trade")
	page := h.signInAs(browser, plain, john)
	if strings.Contains(page.Body, "buy and sell") {
		t.Error("a client that named no scope asks for trading")
	}
	tokens := h.post(h.newBrowser(), "/token", redeemForm(agent, h.decide(browser, page, "allow").Get("code")))
	if tokens.JSON["scope"] != "stocks/read" {
		t.Errorf("default scope %v", tokens.JSON["scope"])
	}
	begin := func(query url.Values) answer { return h.follow(browser, h.get(browser, "/authorize?"+query.Encode())) }
	if page := begin(trade); !strings.Contains(page.Body, "buy and sell stocks in your name") {
		t.Errorf("right after signing in: %s", page.Body)
	}
	h.wait(5*time.Minute + time.Second)
	if page := begin(plain); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("reading takes no fresh passcode: %s", page.Body)
	}
	if page := begin(trade); !strings.Contains(page.Body, "Send me a passcode") || !strings.Contains(page.Body, "takes a new passcode") {
		t.Fatalf("trading after five minutes: %s", page.Body)
	}
	wantSilent(t, h, browser, trade, "login_required")
	trade.Del("prompt")
	before := h.time().Unix()
	code := h.decide(browser, h.signInAs(browser, trade, john), "allow").Get("code")
	answer := h.post(h.newBrowser(), "/token", redeemForm(agent, code))
	got := h.introspected(answer.JSON["access_token"].(string))
	if answer.JSON["scope"] != "stocks/read stocks/trade" || got["scope"] != "stocks/read stocks/trade" || int64(got["auth_time"].(float64)) < before {
		t.Errorf("after stepping up: %v %v", answer.JSON, got)
	}

	reader := h.register(map[string]any{"redirect_uris": []string{callback}, "token_endpoint_auth_method": "none", "scope": "stocks/read"})
	trade.Set("client_id", reader)
	wantRedirectError(h, "a client that registered for reading", trade, "invalid_scope")
}
