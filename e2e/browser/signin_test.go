package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

const (
	allow   = `button[name="decision"][value="allow"]`
	decline = `button[name="decision"][value="deny"]`
)

// testFirstSignIn: somebody who was never here connects a program that nobody
// knows, and reads the passcode in the inbox, which the page links to.
func (s *setup) testFirstSignIn(t *testing.T) (*tab, *program) {
	t.Helper()
	p := s.program(t, agent.Dynamic("Portfolio helper", s.client.redirect))
	b := s.window(t)
	call := p.call(t.Context(), agent.Tool, nil)
	b.visit(p.asks(t, call))
	b.look("sign-in")
	b.reads("“Portfolio helper”", "Unverified", "a program on the computer that this browser runs on")
	b.enter("email", person.John)
	b.press("main form button")
	b.look("passcode")
	b.reads("j•••@demo.example")
	b.enter("passcode", b.readInbox(t, person.John))
	b.press("main form button")

	// Who gets what, until when, and where to undo it (O17).
	b.look("consent, unverified")
	b.reads("“Portfolio helper”", "Unverified", "Nobody checked who made it", "Careful.",
		"Read the stock prices of your region, USA", s.MCPResource(), "Until ", "(30 days) at the latest", s.Issuer()+"/account", person.John)
	b.press(allow)
	if c := ends(t, call); c.err != nil || c.result.IsError {
		t.Fatalf("the call that was allowed: %+v, %v", c.result, c.err)
	}
	return b, p
}

// readInbox follows the link to the inbox and opens the newest mail there.
func (b *tab) readInbox(t *testing.T, email string) string {
	t.Helper()
	link := run(b, chromedp.Evaluate[string](`document.querySelector('a[target=_blank]').href`))
	inbox := b.another(t)
	inbox.foreign = true
	inbox.visit(link)
	inbox.do(chromedp.WaitVisible(chromedp.CSS(".msglist-message")), chromedp.Click(chromedp.CSS(".msglist-message")))
	// The mail is in a frame, which may run no scripts.
	const mail = `[...document.querySelectorAll("iframe")].map(f => f.contentDocument?.body?.innerText || "").join()`
	found := inbox.wait(`(/\b\d{4} ?\d{4}\b/.exec(` + mail + `) || [""])[0]`)
	return strings.ReplaceAll(found, " ", "")
}

// signIn types address and passcode, which a mail program shows.
func (b *tab) signIn(t *testing.T, email string) {
	t.Helper()
	before, err := b.s.inbox.Newest(t.Context(), email)
	if err != nil {
		t.Fatal(err)
	}
	b.enter("email", email)
	b.press("main form button")
	b.enter("passcode", b.passcode(t, email, before))
	b.press("main form button")
}

// passcode is the one in the next mail after the one that was the newest.
func (b *tab) passcode(t *testing.T, email, before string) string {
	t.Helper()
	passcode, err := b.s.inbox.Passcode(t.Context(), email, before)
	if err != nil {
		t.Fatal(err)
	}
	return passcode
}

// testDenied: who declines gets no harm, and the client is told.
func (s *setup) testDenied(t *testing.T, b *tab) {
	flow := s.flow(t, "Price watcher")
	b.visit(flow.URL())
	b.reads("Allow access?", "“Price watcher”")
	b.press(decline)
	if _, err := flow.Code(b.location(t)); err == nil || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("the client was told %v, want access_denied", err)
	}
}

// testSecondClient: who is signed in is asked about another client, and for no
// passcode.
func (s *setup) testSecondClient(t *testing.T, b *tab) {
	p := s.program(t, agent.Document(s.ClientDocument(), s.client.redirect))
	call := p.call(t.Context(), agent.Tool, nil)
	b.visit(p.asks(t, call))
	b.look("consent, verified")
	b.reads("Allow access?", "Verified: client."+s.Domain, "so whoever runs that site vouches for it")
	b.press(allow)
	if c := ends(t, call); c.err != nil {
		t.Error(c.err)
	}
}

// flow is an authorization request of a client that registered itself with a
// name.
func (s *setup) flow(t *testing.T, name string) *agent.Flow {
	t.Helper()
	answer, err := agent.Register(t.Context(), s.Deployment, map[string]any{
		"client_name": name, "redirect_uris": []string{s.client.redirect}, "token_endpoint_auth_method": "none",
	})
	if err != nil || answer.Status != 201 {
		t.Fatalf("register %q: %+v %v", name, answer, err)
	}
	return agent.NewFlow(s.Deployment, agent.Client{ID: answer.Text("client_id"), RedirectURI: s.client.redirect}, s.MCPResource())
}

// waiting is a person who waits for another passcode.
type waiting struct {
	*tab
	flow   *agent.Flow
	before string // the mail with the first passcode
}

func (w waiting) in(t *testing.T) waiting {
	w.tab = w.tab.in(t)
	return w
}

// askForPasscode asks for the passcode that never seems to come.
func (s *setup) askForPasscode(t *testing.T) waiting {
	t.Helper()
	w := waiting{tab: s.window(t), flow: s.flow(t, "Morning report")}
	w.scripts(false)
	w.visit(w.flow.URL())
	before, err := s.inbox.Newest(t.Context(), person.Jane)
	if err != nil {
		t.Fatal(err)
	}
	w.enter("email", person.Jane)
	w.press("main form button")
	message, err := s.inbox.Next(t.Context(), person.Jane, before)
	if err != nil {
		t.Fatal(err)
	}
	w.before = message.ID
	w.look("passcode, waiting")
	return w
}

// testResend: a wrong passcode, a new one, and the new one is right. The button
// appears by itself, from the style sheet, once half a minute is over: no script
// runs here.
func (s *setup) testResend(t *testing.T, w waiting) {
	w.enter("passcode", "00000000")
	w.expect(400, chromedp.Click(chromedp.CSS("main form button")))
	w.reads("That is not the passcode we sent.", "Tries left: 4.")
	w.look("passcode, wrong")
	w.do(chromedp.WaitVisible(chromedp.CSS(`button[name="again"]`)))
	w.press(`button[name="again"]`)
	w.enter("passcode", w.passcode(t, person.Jane, w.before))
	w.press("main form button")
	w.reads("Read the stock prices of your region, Europe")
	w.press(allow)
	w.ranNone()
	if _, err := w.flow.Code(w.location(t)); err != nil {
		t.Error(err)
	}
}
