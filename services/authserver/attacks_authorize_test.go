package authserver

import (
	"database/sql"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAttacksOnAuthorize is section A of docs/security.md: redirects,
// errors and mix-ups at the authorization endpoint. After what is refused
// nothing may have been created.
func TestAttacksOnAuthorize(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	native := h.register(map[string]any{"redirect_uris": []string{"http://localhost/cb"}, "token_endpoint_auth_method": "none"})
	web := h.register(map[string]any{"redirect_uris": []string{"https://app.example/cb"}, "token_endpoint_auth_method": "none"})
	loopback := h.register(map[string]any{"redirect_uris": []string{"http://127.0.0.1/cb", "http://[::1]/cb"}, "token_endpoint_auth_method": "none"})
	// raw is the query of a good request with a redirect URI that is already
	// percent-encoded, or not.
	raw := func(client, redirect string) string {
		query := h.authorizeQuery(client)
		query.Del("redirect_uri")
		return query.Encode() + "&redirect_uri=" + redirect
	}

	t.Run("A1 the redirect URI is decoded once", func(t *testing.T) {
		for _, wire := range []string{
			"http://localhost%252Fcb%2523@evil.example/x", "http%3A%2F%2Flocalhost%252Fcb%2523%40evil.example%2Fx",
			"http://localhost%25252Fcb%252523@evil.example/x", "http://localhost%2Fcb%23@evil.example/x", "http%253A%252F%252Flocalhost%252Fcb",
		} {
			wantLocal(t, h, raw(native, wire))
		}
	})

	t.Run("A3 paths, hosts and ports that look alike", func(t *testing.T) {
		for _, uri := range []string{
			"https://app.example/cb/", "https://app.example/cb/x", "https://app.example/cb/../cb", "https://app.example/x/../cb", "https://app.example/..;/cb",
			"https://app.example/cb/..;/", "https://app.example/cb;x", "https://app.example/./cb", "https://app.example//cb", "https://app.example/cb/.",
			"https://app.example/cb?", "https://app.example/cb?x=y", "https://app.example/cb#", "https://app.example/cb%00", "https://app.example/cb%0d%0aX:y",
			"https://app.example/%63b", "https://app.example/CB", "https://APP.example/cb", "HTTPS://app.example/cb", "https://app.example:443/cb",
			"https://app.example:8443/cb", "https://app.example./cb", "https://app.example\\@evil.example/cb", "https://evil.example\\.app.example/cb",
			"https://app.example\\cb", "https://app.example%2fcb", "https://x.app.example/cb", "https://app.example.evil.example/cb", "https://xn--pp-mmc.example/cb",
			"https://аpp.example/cb", "https://u@app.example/cb", "https://app.example@evil.example/cb", "//app.example/cb", "/cb", "app.example/cb",
			" https://app.example/cb", "https://app.example/cb ", "https://app.example/cb\n", "https://app.example/cb\x00", "http://app.example/cb", "javascript:alert(1)//https://app.example/cb",
		} {
			wantLocal(t, h, raw(web, url.QueryEscape(uri)))
		}
		wantLocal(t, h, raw(web, "https://app.example/cb%00"))
		wantLocal(t, h, raw(web, "https://app.example/cb%0d%0aLocation:%20https://evil.example"))
	})

	t.Run("A4 loopback: any port and nothing else", func(t *testing.T) {
		for _, uri := range []string{"http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", "http://[::1]:54321/cb"} {
			if a := h.get(h.newBrowser(), "/authorize?"+raw(loopback, url.QueryEscape(uri))); a.Status != http.StatusSeeOther {
				t.Errorf("%s: %d", uri, a.Status)
			}
		}
		for _, uri := range []string{
			"http://localhost:1/cb", "http://127.9.9.9:1/cb", "http://127.1:1/cb", "http://2130706433:1/cb", "http://0x7f.0.0.1:1/cb", "http://[::ffff:127.0.0.1]:1/cb",
			"http://[0:0:0:0:0:0:0:1]:1/cb", "https://127.0.0.1:1/cb", "http://127.0.0.1:1/cb/", "http://127.0.0.1:/cb", "http://127.0.0.1:x/cb", "http://127.0.0.1:123456/cb", "http://127.0.0.1:1@evil.example/cb",
		} {
			wantLocal(t, h, raw(loopback, url.QueryEscape(uri)))
		}
	})

	t.Run("A5 user information and fragments", func(t *testing.T) {
		for _, uri := range []string{"http://u@localhost:1/cb", "http://u:p@localhost:1/cb", "http://localhost:1/cb#x", "http://localhost:1/cb#", "http://localhost:1#/cb", "http://localhost:1@evil.example/cb"} {
			wantLocal(t, h, raw(native, url.QueryEscape(uri)))
		}
	})

	t.Run("A6 no redirect URI, unknown client", func(t *testing.T) {
		query := h.authorizeQuery(agent)
		query.Del("redirect_uri")
		wantLocal(t, h, query.Encode())
		for _, client := range []string{"", "nobody", `"><script>alert(1)</script>`, "\x00", "https://127.0.0.1/client", "https://", strings.Repeat("x", 5000)} {
			query := h.authorizeQuery(agent)
			query.Set("client_id", client)
			if a := wantLocal(t, h, query.Encode()); strings.Contains(a.Body, "<script") {
				t.Errorf("%q is not escaped", client)
			}
		}
		wantLocal(t, h, h.authorizeQuery(agent).Encode()+"&x=%zz")
		wantLocal(t, h, h.authorizeQuery(agent).Encode()+";state=other")
	})

	t.Run("A7 repeated parameters", func(t *testing.T) {
		for _, name := range []string{"client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method", "scope", "response_type", "nonce", "prompt", "request_uri"} {
			query := h.authorizeQuery(agent)
			query[name] = []string{query.Get(name), query.Get(name)}
			wantLocal(t, h, query.Encode())
			browser := h.newBrowser()
			checkLocal(t, "POST "+name, h.follow(browser, h.post(browser, "/authorize", query)))
			checkLocal(t, "query and body: "+name, h.post(h.newBrowser(), "/authorize?"+name+"=x", h.authorizeQuery(agent)))
		}
		query := h.authorizeQuery(agent)
		query.Add("resource", h.cfg.MCPResource())
		wantRedirectError(h, "two resources", query, "invalid_target")
	})

	t.Run("A8 a bad redirect URI beside another error", func(t *testing.T) {
		for name, value := range map[string]string{"scope": "admin", "response_type": "token", "code_challenge": "", "resource": "https://other.example", "prompt": "none"} {
			query := h.authorizeQuery(agent)
			query.Set("redirect_uri", "https://evil.example/cb")
			query.Set(name, value)
			wantLocal(t, h, query.Encode())
		}
	})

	t.Run("A9 response types", func(t *testing.T) {
		for _, value := range []string{"token", "id_token", "code token", "code id_token", "code code", "none", "", "CODE"} {
			query := h.authorizeQuery(agent)
			query.Set("response_type", value)
			wantRedirectError(h, "response_type "+value, query, "unsupported_response_type")
		}
		if got := h.get(h.newBrowser(), "/.well-known/oauth-authorization-server").JSON["response_types_supported"]; !cmp.Equal(got, []any{"code"}) {
			t.Errorf("response_types_supported: %v", got)
		}
	})

	t.Run("A10 iss is the issuer, byte for byte", func(t *testing.T) {
		m := h.get(h.newBrowser(), "/.well-known/oauth-authorization-server").JSON
		if m["authorization_response_iss_parameter_supported"] != true {
			t.Error("not advertised")
		}
		browser := h.newBrowser()
		page := h.signInAs(browser, h.authorizeQuery(agent), john)
		for name, got := range map[string]url.Values{"code": h.decide(browser, page, "allow"), "error": h.decide(browser, h.signInAs(browser, h.authorizeQuery(agent), john), "deny")} {
			if got.Get(name) == "" || !cmp.Equal(got["iss"], []string{m["issuer"].(string)}) {
				t.Errorf("%s: %v", name, got)
			}
		}
	})

	t.Run("A12 forms are answered with 303", func(t *testing.T) {
		browser := h.newBrowser()
		begun := h.post(browser, "/authorize", h.authorizeQuery(agent))
		form := fields(h.follow(browser, begun))
		form.Set("email", john)
		sent := h.post(browser, "/signin", form)
		form.Set("passcode", h.mail.passcode(john))
		signedIn := h.post(browser, "/passcode", form)
		form.Set("decision", "allow")
		bad := h.authorizeQuery(agent)
		bad.Set("scope", "admin")
		for name, a := range map[string]answer{
			"authorize": begun, "sign in": sent, "passcode": signedIn, "consent": h.post(browser, "/consent", form), "error": h.post(browser, "/authorize", bad),
			"sign out": h.post(browser, "/signout", fields(h.get(browser, "/signout"))), "logout": h.post(browser, "/logout", url.Values{}),
		} {
			if a.Status != http.StatusSeeOther && name != "logout" || a.Status == http.StatusTemporaryRedirect || a.Status == http.StatusPermanentRedirect {
				t.Errorf("%s: %d", name, a.Status)
			}
		}
	})

	t.Run("A13 nothing of a page leaks", func(t *testing.T) {
		browser := h.newBrowser()
		login := h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(agent).Encode()))
		for name, a := range map[string]answer{"login": login, "consent": h.signInAs(h.newBrowser(), h.authorizeQuery(agent), john), "error": h.get(browser, "/authorize"), "logout": h.get(browser, "/logout")} {
			if a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" || strings.Contains(a.Body, `src="`) || strings.Contains(a.Body, `href="http://`) {
				t.Errorf("%s: %v", name, a.Header)
			}
		}
	})

	t.Run("A14 login fixation", func(t *testing.T) {
		attacker, victim := h.newBrowser(), h.newBrowser()
		page := h.follow(attacker, h.get(attacker, "/authorize?"+h.authorizeQuery(agent).Encode()))
		form := fields(page)
		form.Set("email", john)
		sent := h.mail.count()
		if a := h.post(victim, "/signin", form); a.Status != http.StatusBadRequest && a.Status != http.StatusForbidden || h.mail.count() != sent {
			t.Errorf("the victim's browser took the attacker's request: %d", a.Status)
		}
		h.signInAs(victim, h.authorizeQuery(agent), john)
		for _, browser := range []*http.Client{h.newBrowser(), victim} {
			if a := h.get(browser, "/consent?request="+form.Get("request")); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
				t.Errorf("a request of another browser: %d", a.Status)
			}
		}
	})

	t.Run("A15 one code a request", func(t *testing.T) {
		browser := h.newBrowser()
		page := h.signInAs(browser, h.authorizeQuery(agent), john)
		h.decide(browser, page, "allow")
		form := fields(page)
		form.Set("decision", "allow")
		checkLocal(t, "second", h.post(browser, "/consent", form))
		checkLocal(t, "reload", h.get(browser, "/consent?request="+form.Get("request")))
	})

	t.Run("A16 request objects and response modes", func(t *testing.T) {
		var fetched bool
		trap := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched = true })
		uri := newTrap(t, trap)
		for _, change := range [][3]string{
			{"request", "eyJhbGciOiJub25lIn0.e30.", "request_not_supported"}, {"request", "", "request_not_supported"},
			{"request_uri", uri, "request_uri_not_supported"}, {"request_uri", "https://127.0.0.1/r", "request_uri_not_supported"}, {"request_uri", "urn:example:x", "request_uri_not_supported"},
			{"request_uri", "URN:IETF:PARAMS:OAUTH:REQUEST_URI:x", "request_uri_not_supported"}, {"request_uri", "", "request_uri_not_supported"},
			{"response_mode", "fragment", "invalid_request"}, {"response_mode", "form_post", "invalid_request"}, {"response_mode", "jwt", "invalid_request"}, {"response_mode", "query.jwt", "invalid_request"},
		} {
			query := h.authorizeQuery(agent)
			query.Set(change[0], change[1])
			wantRedirectError(h, change[0]+"="+change[1], query, change[2])
		}
		query := h.authorizeQuery(agent)
		query.Set("request_uri", "urn:ietf:params:oauth:request_uri:guessed")
		wantLocal(t, h, query.Encode())
		if fetched {
			t.Error("the server fetched a request_uri")
		}
	})

	t.Run("A18 hints and silence let nobody in", func(t *testing.T) {
		query := h.authorizeQuery(agent)
		query.Set("prompt", "none")
		wantRedirectError(h, "no session", query, "login_required")
		query.Set("id_token_hint", h.idToken(agent, jane))
		wantRedirectError(h, "no session, a hint", query, "login_required")
		browser := h.newBrowser()
		h.decide(browser, h.signInAs(browser, h.authorizeQuery(agent), john), "allow")
		wantSilent(t, h, browser, query, "login_required")
		query.Del("id_token_hint")
		wantSilent(t, h, browser, query, "consent_required")
	})

	t.Run("A19 signing out leads nowhere that is not registered", func(t *testing.T) {
		browser := h.newBrowser()
		h.decide(browser, h.signInAs(browser, h.authorizeQuery(agent), john), "allow")
		hint := h.idToken(agent, john)
		for _, form := range []url.Values{
			{"post_logout_redirect_uri": {"https://evil.example/"}},
			{"post_logout_redirect_uri": {callback}, "client_id": {agent}},
			{"post_logout_redirect_uri": {callback}, "id_token_hint": {hint}},
			{"post_logout_redirect_uri": {"https://client.demo.localhost:8443/"}, "id_token_hint": {hint}, "client_id": {"stocks-web"}},
			{"state": {"a", "b"}},
		} {
			checkLocal(t, form.Encode(), h.get(browser, "/logout?"+form.Encode()))
			checkLocal(t, form.Encode(), h.post(browser, "/logout", form))
		}
		if a := h.get(browser, "/logout"); !strings.Contains(a.Body, "Sign out?") {
			t.Errorf("without a hint: %d %s", a.Status, a.Body)
		}
		if a := h.get(browser, "/signout"); !strings.Contains(a.Body, john) {
			t.Error("a refused request ended the session")
		}
	})
}

// wantLocal sends a query that must lead nowhere and leave nothing behind.
func wantLocal(t *testing.T, h *harness, query string) answer {
	t.Helper()
	before := h.rows()
	a := h.get(h.newBrowser(), "/authorize?"+query)
	checkLocal(t, query, a)
	if diff := cmp.Diff(before, h.rows()); diff != "" {
		t.Errorf("%s: something was created:\n%s", query, diff)
	}
	return a
}

// checkLocal checks that a person is told, and nobody is redirected.
func checkLocal(t *testing.T, name string, a answer) {
	t.Helper()
	if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%s: %d, Location %q, %s", name, a.Status, a.Header.Get("Location"), a.Header.Get("Content-Type"))
	}
}

// rows counts what is stored.
func (h *harness) rows() map[string]int {
	h.Helper()
	db, err := sql.Open("sqlite", h.cfg.DatabaseFile)
	if err != nil {
		h.Fatal(err)
	}
	defer db.Close()
	out := map[string]int{}
	for _, table := range []string{"clients", "requests", "pushed_requests", "consents", "grants", "codes", "tokens", "passcodes", "sessions"} {
		var n int
		if err := db.QueryRowContext(h.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
			h.Fatal(err)
		}
		out[table] = n
	}
	return out
}
