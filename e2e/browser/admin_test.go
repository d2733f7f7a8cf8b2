package browser_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// testAdministration: an administrator looks around, suspends a user whose agent
// is at work, lets them in again, and reads in the trail how one call of a tool
// came about. change_test.go has what else they can change.
func (s *setup) testAdministration(t *testing.T) {
	john := s.window(t)
	p := s.program(t, agent.Dynamic("Night watch", s.client.redirect))
	call := p.call(t.Context(), agent.Tool, nil)
	john.visit(p.asks(t, call))
	john.signIn(t, person.John)
	john.press(allow)
	if c := ends(t, call); c.err != nil || c.result.IsError {
		t.Fatalf("the agent's first call: %+v, %v", c.result, c.err)
	}
	t.Run("for administrators", func(t *testing.T) { s.testForbidden(t, john.in(t)) })

	b := s.window(t)
	t.Run("sign-in", func(t *testing.T) { s.testAdminSignIn(t, b.in(t)) })
	t.Run("pages", func(t *testing.T) { s.testAdminPages(t, b.in(t)) })
	t.Run("story", func(t *testing.T) { s.testStory(t, b.in(t)) })
	t.Run("suspended", func(t *testing.T) { s.testSuspend(t, b.in(t), john.in(t), p) })
	t.Run("region", func(t *testing.T) { s.testRegion(t, b.in(t), p) })
	t.Run("revoked", func(t *testing.T) { s.testRevoke(t, b.in(t), john.in(t), p) })
	t.Run("client deleted", func(t *testing.T) { s.testDeleteClient(t, b.in(t), john.in(t), p) })
	t.Run("client suspended", func(t *testing.T) { s.testSuspendClient(t, b.in(t), john.in(t)) })
	t.Run("new key", func(t *testing.T) { s.testNewKey(t, b.in(t)) })
	t.Run("session over", func(t *testing.T) { s.testSessionOver(t, b.in(t)) })
	t.Run("sign-out", func(t *testing.T) { s.testAdminSignOut(t, b.in(t)) })
}

func (s *setup) administration() string { return s.Origin("admin") + "/admin" }

// testForbidden: who is signed in and no administrator is told so, and sees
// nothing.
func (s *setup) testForbidden(t *testing.T, b *tab) {
	b.expect(200, chromedp.Navigate(s.administration()+"/users"))
	b.reads("Administration", person.John)
	b.expect(403, chromedp.Click(chromedp.CSS(allow)))
	b.once = true
	b.look("admin, forbidden")
	b.reads("This is for administrators")
	if strings.Contains(b.text(), person.Jane) || b.has("nav") > 0 {
		t.Errorf("a page of the administration: %s", b.text())
	}
}

// testAdminSignIn: an administrator signs in as everybody does.
func (s *setup) testAdminSignIn(t *testing.T, b *tab) {
	b.visit(s.administration())
	b.look("admin, sign-in")
	b.enter("email", person.Admin)
	b.press("main form button")
	b.enter("passcode", b.readInbox(t, person.Admin))
	b.press("main form button")
	b.look("admin, consent")
	b.press(allow)
	b.reads("Overview", "Refused lately", "You are "+person.Admin)
}

// testAdminPages goes through the navigation, and to the pages behind lists.
func (s *setup) testAdminPages(t *testing.T, b *tab) {
	for _, page := range []struct{ link, name, says string }{
		{`nav a[href="/admin"]`, "admin, overview", "Lately in the administration"},
		{`nav a[href="/admin/users"]`, "admin, users", person.John},
		{`nav a[href="/admin/clients"]`, "admin, clients", "Night watch"},
		{`nav a[href="/admin/grants"]`, "admin, access", "Night watch"},
		{`a[aria-label="Tokens of “Night watch” for ` + person.John + `"]`, "admin, one access", "Nobody can read a token here"},
		{`nav a[href="/admin/keys"]`, "admin, keys", "Signing keys"},
		{`nav a[href="/admin/limits"]`, "admin, limits", "Passcodes asked for"},
		{`nav a[href="/admin/policy"]`, "admin, registration", "RFC 7591"},
		{`nav a[href="/admin/audit"]`, "admin, audit trail", "Tool called"},
	} {
		b.press(page.link)
		b.reads(page.says)
		b.look(page.name)
	}
	b.expect(404, chromedp.Navigate(s.administration()+"/nothing"))
	b.look("admin, nothing")
}

// testStory: of all that happened, one call of a tool is found by what it was
// and whose, and its story has all that led to it.
func (s *setup) testStory(t *testing.T, b *tab) {
	b.visit(s.administration() + "/audit")
	b.enter("user", person.John)
	b.do(chromedp.SetValue(chromedp.CSS(`select[name="kind"]`), "tool.call"))
	b.press("form.filter button")
	b.look("admin, audit trail, filtered")
	if all, calls := b.has(".events > li"), b.lines("Tool called"); all == 0 || calls != all {
		t.Errorf("%d of %d events are calls of tools: %s", calls, all, b.text())
	}
	b.press(`.events > li:first-child a[href^="/admin/audit/story"]`)
	story := []string{
		"Passcode asked for", "Sign-in", "Consent", "Token issued", // at the authorization server
		"Token exchanged", "Decision of the stocks API", "Tool called",
	}
	for range 50 { // services report what they decided within seconds
		if b.lines(story...) >= len(story) {
			break
		}
		b.do(chromedp.Sleep(100 * time.Millisecond))
		b.visit(b.where())
	}
	// The MCP server tells the whole when it has its own answer, as the last.
	if got := b.lines(story...); got != len(story) || b.has(".events > .own") != 3 {
		t.Errorf("%d events are of the story, want %d, of which 3 of the request itself", got, len(story))
	}
	b.reads(append(story, person.John, "Night watch", agent.Tool)...)
	b.look("admin, story")
}

// lines counts the events on the page that are of these kinds.
func (b *tab) lines(kinds ...string) int {
	b.Helper()
	n := 0
	for _, what := range run(b, chromedp.Evaluate[[]string](`[...document.querySelectorAll(".events > li .what strong")].map(e => e.textContent)`)) {
		for _, kind := range kinds {
			if what == kind {
				n++
			}
		}
	}
	return n
}

// testSuspend: a user is suspended while their agent works. Its next call is
// challenged within a second, and the user's own pages are closed to them; once
// they are approved again they begin anew, and the agent goes on.
func (s *setup) testSuspend(t *testing.T, b, john *tab, p *program) {
	token, err := p.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	john.visit(s.Issuer() + "/account")
	john.reads("Your account", "Night watch")

	b.press(`nav a[href="/admin/users"]`)
	b.press(`a[aria-label="Suspend ` + person.John + `"]`)
	b.look("admin, suspend")
	b.reads("Suspend this user?", person.John, "They are signed out everywhere, at once.")
	b.press("main form button")
	pressed := time.Now() // the page that answers is there already, so this is late by its time
	s.refused(t, token.AccessToken, pressed)
	b.reads("The user is suspended.")
	b.look("admin, suspended")

	john.visit(s.Issuer() + "/account")
	john.reads("Sign in")
	if n := john.has(`input[name="email"]`); n != 1 || strings.Contains(john.text(), "Night watch") {
		t.Errorf("who is suspended still sees %s", john.text())
	}
	// The agent finds out by itself, and asks its user again.
	call := p.call(t.Context(), agent.Tool, nil)
	address := p.asks(t, call)

	b.press(`a[aria-label="Approve ` + person.John + `"]`)
	b.look("admin, approve")
	b.press("main form button")
	b.reads("The user may sign in.")
	john.visit(address)
	john.signIn(t, person.John)
	john.press(allow)
	if c := ends(t, call); c.err != nil || c.result.IsError {
		t.Errorf("the call once the user is back: %+v, %v", c.result, c.err)
	}
}

// testNewKey: the key that signs cannot be retired, whoever knows the address. A
// new one is published, and no other can be made before it signs.
func (s *setup) testNewKey(t *testing.T, b *tab) {
	b.press(`nav a[href="/admin/keys"]`)
	before, signs := b.has("tbody tr"), run(b, chromedp.Evaluate[string](`document.querySelector("tr:has(.known) code").textContent`))
	b.expect(409, chromedp.Navigate(s.administration()+"/keys/change?action=retire&key="+signs))
	b.look("admin, not now")
	b.reads("This cannot be done", "This key signs, or is about to. Make a new one first")
	b.press(`main a[href="/admin/keys"]`)
	b.press("main p a.button")
	b.look("admin, new key")
	b.reads("Make a new signing key?")
	b.press("main form button")
	b.reads("A new key is published.", "waiting")
	b.look("admin, keys, one waiting")
	if after := b.has("tbody tr"); after != before+1 || b.has("main p a.button") != 0 {
		t.Errorf("%d keys, before it %d: %s", after, before, b.text())
	}
}

// testSessionOver: a form that asks for something, sent from a page that was
// left alone for too long, gets it by way of the sign-in, where the user is
// signed in still. (Without its cookie a session is as good as over.)
func (s *setup) testSessionOver(t *testing.T, b *tab) {
	b.press(`nav a[href="/admin/audit"]`)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.DeleteCookies, network.DeleteCookiesParams{Name: "__Host-admin", URL: s.administration()})
		return err
	}))
	b.enter("user", person.John)
	b.press("form.filter button")
	if got := b.where(); !strings.HasPrefix(got, s.administration()+"/audit?user="+url.QueryEscape(person.John)) {
		t.Errorf("the filter led to %s: %s", got, b.text())
	}
	b.reads("Audit trail", person.John)
}

// testAdminSignOut: leaving the administration leaves a sign-in elsewhere, which
// the page says and leads to.
func (s *setup) testAdminSignOut(t *testing.T, b *tab) {
	b.press("footer button")
	b.look("admin, signed out")
	b.reads("You are signed out of the administration")
	b.press(`main a[href="` + s.Issuer() + `/signout"]`)
	b.press("main form button")
	b.visit(s.administration())
	b.reads("Sign in")
	if b.has(`input[name="email"]`) != 1 || b.has("nav") != 0 {
		t.Errorf("still signed in: %s", b.text())
	}
}
