package authserver

import (
	"database/sql"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
)

// The attacks of section R of docs/security.md that concern this server,
// through HTTP. R1, R2, R5 and R8 are in refresh_test.go, R12, R13 and R17 in
// attacks_introspection_test.go; R11 concerns the gateway.

// tamper changes the database behind the server's back.
func (h *harness) tamper(statement string, args ...any) {
	h.Helper()
	db, err := sql.Open("sqlite", h.cfg.DatabaseFile)
	if err != nil {
		h.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(h.Context(), statement, args...); err != nil {
		h.Fatal(err)
	}
}

func (h *harness) user(email string) store.User {
	h.Helper()
	u, err := h.db.UserByEmail(h.Context(), email)
	if err != nil {
		h.Fatal(err)
	}
	return u
}

func (h *harness) revoke(client, token string) answer {
	h.Helper()
	return h.post(h.newBrowser(), "/revoke", url.Values{"client_id": {client}, "token": {token}}, "Accept", "application/json")
}

// TestRefreshScope: attack R4.
func TestRefreshScope(t *testing.T) {
	h := newHarness(t)
	client := h.agent()
	query := h.authorizeQuery(client)
	query.Set("scope", "stocks/read openid")
	tokens := pairOf(h.post(h.newBrowser(), "/token", redeemForm(client, h.code(query, john))))

	for name, more := range map[string][]string{
		"R4 a scope that was not granted": {"scope", "stocks/read openid email"},
		"R4 a scope that there is not":    {"scope", "admin"},
		"R4 another case":                 {"scope", "STOCKS/READ"},
	} {
		wantError(h, name, h.refresh(client, tokens.refresh, more...), 400, "invalid_scope")
	}
	wantError(h, "R4 another resource", h.refresh(client, tokens.refresh, "resource", h.cfg.APIResource()), 400, "invalid_target")
	wantError(h, "R4 one resource more", h.refresh(client, tokens.refresh, "resource", h.cfg.MCPResource(), "resource", h.cfg.APIResource()), 400, "invalid_target")
	wantError(h, "R4 two scopes", h.refresh(client, tokens.refresh, "scope", "stocks/read", "scope", "email"), 400, "invalid_request")

	// None of these used the token up: its successor is the only one.
	narrow := h.refresh(client, tokens.refresh, "scope", "stocks/read")
	if narrow.Status != http.StatusOK || narrow.JSON["scope"] != "stocks/read" {
		t.Fatalf("R4: the token was rotated by an error, or not narrowed: %d %s", narrow.Status, narrow.Body)
	}
	wide := h.refresh(client, pairOf(narrow).refresh, "scope", " ")
	if wide.JSON["scope"] != "stocks/read openid" {
		t.Errorf("a narrower scope stuck to the refresh token (RFC 6749 §6): %s", wide.Body)
	}
	if !h.active(pairOf(narrow).access) {
		t.Error("the successor was replaced, so an error had used the token up")
	}
}

// TestWithdrawn: attack R6. Whoever takes something back ends the tokens.
func TestWithdrawn(t *testing.T) {
	tests := map[string]struct {
		withdraw func(h *harness, client string)
		status   int
		code     string
	}{
		"R6 user suspended": {func(h *harness, _ string) {
			if err := h.db.SetUserStatus(h.Context(), h.user(john).ID, store.UserSuspended); err != nil {
				h.Fatal(err)
			}
		}, 400, "invalid_grant"},
		"R6 client deleted": {func(h *harness, client string) {
			h.tamper("DELETE FROM clients WHERE id = ?", client)
		}, 401, "invalid_client"},
		"R6 consent revoked": {func(h *harness, client string) {
			if err := h.grants.RevokeConsent(h.Context(), h.user(john).ID, client); err != nil {
				h.Fatal(err)
			}
		}, 400, "invalid_grant"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			client := h.agent()
			tokens := pairOf(h.tokens(client, john))
			others := []pair{pairOf(h.tokens(client, jane)), pairOf(h.tokens(h.agent(), jane))}
			jwt, code := h.phantom(tokens.access), h.code(h.authorizeQuery(client), john)
			tt.withdraw(h, client)
			wantError(h, "refresh", h.refresh(client, tokens.refresh), tt.status, tt.code)
			wantError(h, "a code under way", h.post(h.newBrowser(), "/token", redeemForm(client, code)), tt.status, tt.code)
			wantError(h, "exchange", h.post(h.newBrowser(), "/token", exchangeForm(jwt, h.cfg.APIResource()), basic("stocksmcp")...), 400, "invalid_request")
			if h.active(tokens.access) {
				t.Error("the access token is active")
			}
			if name != "R6 client deleted" && !h.active(others[0].access) || !h.active(others[1].access) {
				t.Error("another user's token ended as well")
			}
		})
	}
	t.Run("R6 remembered consent revoked", func(t *testing.T) {
		h := newHarness(t)
		web := h.authorizeQuery("stocks-web")
		web.Set("redirect_uri", "https://client.demo.localhost:8443/callback")
		web.Set("resource", h.cfg.APIResource())
		browser := h.newBrowser()
		form := fields(h.signInAs(browser, web, john))
		form.Set("decision", "allow")
		h.post(browser, "/consent", form)
		again := func() answer { return h.follow(browser, h.get(browser, "/authorize?"+web.Encode())) }
		if a := again(); !strings.Contains(a.Header.Get("Location"), "code=") {
			t.Fatalf("consent was not remembered: %d", a.Status)
		}
		if err := h.grants.RevokeConsent(t.Context(), h.user(john).ID, "stocks-web"); err != nil {
			t.Fatal(err)
		}
		if a := again(); !strings.Contains(a.Body, "Allow access?") {
			t.Errorf("the client did not have to ask again: %d %s", a.Status, a.Body)
		}
	})
}

// TestLifetimes: attack R7, and tokens that nobody used.
func TestLifetimes(t *testing.T) {
	h := newHarness(t)
	client := h.agent()
	idle, tokens := pairOf(h.tokens(client, john)), pairOf(h.tokens(client, john))
	const step = 6 * 24 * time.Hour
	for age := step; age < grants.GrantLifetime; age += step {
		h.wait(step)
		a := h.refresh(client, tokens.refresh)
		if a.Status != http.StatusOK {
			t.Fatalf("after %s: %d %s", age, a.Status, a.Body)
		}
		tokens = pairOf(a)
	}
	wantError(h, "idle for longer than RefreshIdle", h.refresh(client, idle.refresh), 400, "invalid_grant")
	h.wait(step - 5*time.Minute)
	a := h.refresh(client, tokens.refresh)
	if left, _ := a.JSON["expires_in"].(float64); a.Status != http.StatusOK || left > 300 {
		t.Errorf("R7: the last access token outlives its grant: %d %s", a.Status, a.Body)
	}
	h.wait(5 * time.Minute)
	wantError(h, "R7 past the absolute lifetime", h.refresh(client, pairOf(a).refresh), 400, "invalid_grant")
	if h.active(pairOf(a).access) {
		t.Error("R7: an access token outlived its grant")
	}
	if err := h.db.Expire(t.Context(), h.time()); err != nil {
		t.Errorf("what has expired cannot be removed: %v", err)
	}
	wantError(h, "R7 removed", h.refresh(client, pairOf(a).refresh), 400, "invalid_grant")
}

// TestRevokeNeedsTheStore: attack R10. What could not be stored is not
// reported as done, and what failed changed nothing.
func TestRevokeNeedsTheStore(t *testing.T) {
	h := newHarness(t)
	client := h.agent()
	first := pairOf(h.tokens(client, john))
	fails := func(table, event string) (mended func()) {
		h.tamper("CREATE TRIGGER full BEFORE " + event + " ON " + table + " BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
		return func() { h.tamper("DROP TRIGGER full") }
	}
	outage := func(name string, a answer) {
		t.Helper()
		wantError(h, name, a, 503, "temporarily_unavailable")
		if a.Header.Get("Retry-After") == "" || strings.Contains(a.Body, "disk") {
			t.Errorf("%s: Retry-After %q, body %s", name, a.Header.Get("Retry-After"), a.Body)
		}
	}

	mend := fails("tokens", "INSERT")
	outage("refresh, when nothing can be added", h.refresh(client, first.refresh))
	mend()
	mend = fails("tokens", "UPDATE")
	outage("refresh, when nothing can be marked as used", h.refresh(client, first.refresh))
	outage("R10 revoke an access token", h.revoke(client, first.access))
	mend()
	if !h.active(first.access) {
		t.Error("the failed revocation was done after all")
	}
	second := pairOf(h.refresh(client, first.refresh))
	if second.access == "" {
		t.Fatal("a failed refresh used the token up")
	}
	h.wait(grants.RefreshGrace)
	mend = fails("grants", "UPDATE")
	outage("R10 revoke a refresh token", h.revoke(client, second.refresh))
	outage("R1 a reuse that cannot be noted", h.refresh(client, first.refresh))
	mend()
	for _, token := range []string{second.access, second.refresh} {
		if a := h.revoke(client, token); a.Status != http.StatusOK {
			t.Errorf("revoke, once the store is well: %d %s", a.Status, a.Body)
		}
	}
	if h.active(second.access) {
		t.Error("a revoked token is active")
	}
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	outage("R10 revoke without a store", h.revoke(client, first.access))
}

// TestStolenDatabase: attack R16.
func TestStolenDatabase(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	registered := h.registerRaw(map[string]any{"redirect_uris": []string{callback}, "grant_types": []string{"authorization_code", "refresh_token"}}).JSON
	client, secret := registered["client_id"].(string), registered["client_secret"].(string)
	page := h.signInAs(browser, h.authorizeQuery(client), john)
	code, unused := h.decide(browser, page, "allow").Get("code"), h.code(h.authorizeQuery(client), john)
	form := redeemForm(client, code)
	form.Del("client_id")
	auth := []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(client+":"+secret))}
	tokens := pairOf(h.post(h.newBrowser(), "/token", form, auth...))
	secrets := map[string]string{
		"access token": tokens.access, "refresh token": tokens.refresh, "code": code, "unused code": unused, "JWT": h.phantom(tokens.access),
		"client secret": secret, "passcode": h.mail.passcode(john), "verifier": verifier, "gateway's secret": "client-gateway" + secretFor,
		"private key": "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", // the curve's name, which is in every DER of one
	}
	site, err := url.Parse(h.cfg.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range browser.Jar.Cookies(site) {
		secrets[c.Name] = c.Value
	}
	if tokens.access == "" || tokens.refresh == "" || len(secrets) != 12 {
		t.Fatalf("not all secrets are there: %d", len(secrets))
	}
	var dump []byte
	for _, suffix := range []string{"", "-wal"} {
		part, err := os.ReadFile(h.cfg.DatabaseFile + suffix)
		if err != nil {
			t.Fatal(err)
		}
		dump = append(dump, part...)
	}
	for name, value := range secrets {
		if strings.Contains(string(dump), value) {
			t.Errorf("R16: the database holds the %s", name)
		}
	}
	// What it does hold opens nothing.
	hash := store.HashOf(tokens.access)
	for _, stolen := range []string{string(hash[:]), base64.RawURLEncoding.EncodeToString(hash[:])} {
		if h.active(stolen) {
			t.Error("R16: a hash passes for a token")
		}
	}
}
