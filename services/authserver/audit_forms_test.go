package authserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/trail"
)

// TestTrailSaysNoMoreThanHappened: a form after which nobody decided anything is
// no event, one that says no is no "allowed", and whoever left is named. The
// answers to all of these are redirects or pages, as when all went well.
func TestTrailSaysNoMoreThanHappened(t *testing.T) {
	h := newHarness(t)
	agent, console := h.agent(), h.console()
	hint := h.idToken(agent, john)
	start := h.startDevice(console)
	subject := h.user(john).ID
	consentPage := func() (*http.Client, url.Values) {
		browser := h.newBrowser()
		form := fields(h.signInAs(browser, h.authorizeQuery(agent), john))
		form.Set("decision", "allow")
		return browser, form
	}
	signedIn := func() *http.Client { browser, _ := h.trader(agent, john); return browser }
	const none = ""
	tests := map[string]struct {
		do   func()
		want string // the last line, about john unless it is of nobody
	}{
		"consent of who signed out": {func() {
			browser, form := consentPage()
			h.post(browser, "/signout", fields(h.get(browser, "/signout")))
			h.post(browser, "/consent", form)
		}, "signout allowed"},
		"a device that is declined": {func() {
			browser := h.newBrowser()
			h.decideForDevice(browser, h.typeAndSignIn(browser, start.JSON["user_code"].(string)), "deny")
		}, "consent refused the user declined"},
		"a passcode after the last try": {func() {
			browser := h.newBrowser()
			form := fields(h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(agent).Encode())))
			form.Set("passcode", "12345678")
			h.post(browser, "/passcode", form) // none was sent: back to the first page
		}, "signin refused no passcode"},
		"asked for another passcode too soon": {func() {
			browser := h.newBrowser()
			form := fields(h.ask(browser, john))
			form.Set("again", "1")
			h.post(browser, "/signin", form)
		}, "passcode.sent allowed"}, // one alone, see below
		"an order, with an old sign-in": {func() {
			browser, access := h.trader(agent, john)
			h.wait(4 * time.Minute)
			id := h.ordered(access, aldp)
			form := fields(h.get(browser, approvePath(id)))
			form.Set("approval", id)
			form.Set("decision", "allow")
			h.wait(grants.TradeSignInAge)
			h.post(browser, "/approve", form)
		}, "order.approval allowed"}, // that it was asked for
		"an order, decided twice": {func() {
			browser, access := h.trader(agent, john)
			id := h.ordered(access, aldp)
			form := fields(h.get(browser, approvePath(id)))
			h.settle(browser, id, "deny")
			form.Set("approval", id)
			form.Set("decision", "allow")
			h.post(browser, "/approve", form)
		}, "order.approval refused the user declined"},
		"signed out elsewhere": {func() { h.change(signedIn(), "sign out others", "") }, "signout allowed"},
		"signed out by a client": {func() {
			h.get(signedIn(), "/logout?id_token_hint="+hint)
		}, "signout allowed"},
		"asked whether to sign out": {func() { h.get(h.newBrowser(), "/logout") }, none},
		"nobody signs out": {func() {
			h.get(h.newBrowser(), "/logout?id_token_hint="+hint)
		}, none},
		"a made-up token is revoked": {func() { h.revoke(agent, "made-up") }, none},
		"a token is revoked twice": {func() {
			access := h.tokens(agent, john).JSON["access_token"].(string)
			h.revoke(agent, access)
			h.revoke(agent, access)
		}, "token.revoked allowed"},
		"userinfo without a token": {func() { h.get(h.newBrowser(), "/userinfo") }, none},
		"userinfo": {func() {
			h.get(h.newBrowser(), "/userinfo", "Authorization", "Bearer "+h.identity(agent, "openid", h.cfg.Issuer())["access_token"].(string))
		}, "access allowed"},
		"userinfo with a made-up token": {func() { h.get(h.newBrowser(), "/userinfo", "Authorization", "Bearer made-up") }, "access refused invalid_token"},
		"a made-up user code":           {func() { h.typeCode(h.newBrowser(), "BCDF-GHJK") }, "authorization refused no device shows this user code"},
		"introspection with a wrong secret": {func() {
			h.post(h.newBrowser(), "/introspect", url.Values{"token": {"x"}}, "Authorization", "Basic Z2F0ZXdheTp4")
		}, "client.authentication refused invalid_client"},
		"introspection by a client": {func() {
			h.post(h.newBrowser(), "/introspect", url.Values{"token": {"x"}}, basic("stocksapi")...)
		}, "access refused unauthorized_client"},
		"introspection": {func() { h.introspected("made-up") }, none},
	}
	for name, tt := range tests {
		before := len(h.trailOf(trail.Filter{}))
		tt.do()
		found := h.trailOf(trail.Filter{})[before:]
		got, last := lines(found), none
		if len(got) > 0 {
			last = got[len(got)-1]
		}
		if !strings.HasPrefix(last, tt.want) || tt.want == none && last != none {
			t.Errorf("%s: %q, want %q at the end", name, got, tt.want)
		}
		if name == "asked for another passcode too soon" {
			if n := strings.Count(strings.Join(got, ", "), "passcode.sent"); n != 1 {
				t.Errorf("%s: %q has %d passcodes, and one was sent", name, got, n)
			}
		}
		if n := strings.Count(strings.Join(got, ", "), "token.revoked"); n > 1 {
			t.Errorf("%s: %d times in the trail", name, n)
		}
		if strings.HasPrefix(last, "signout") && found[len(found)-1].User != subject {
			t.Errorf("%s: of user %q", name, found[len(found)-1].User)
		}
	}
}
