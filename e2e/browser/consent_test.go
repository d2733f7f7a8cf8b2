package browser_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"demo.example/e2e/agent"
)

// testRemembered: a client that was reviewed, and proves that it is itself, asks
// once. The answer is remembered, also when its access has ended, until the user
// takes it back.
func (s *setup) testRemembered(t *testing.T, b *tab) {
	secret, err := s.Secret("client-stocks-web")
	if err != nil {
		t.Fatal(err)
	}
	web := agent.Client{ID: "stocks-web", Secret: secret, RedirectURI: s.Origin("client") + "/callback"}
	begin := func() *agent.Flow { return agent.NewFlow(s.Deployment, web, s.APIResource()) }

	first := begin()
	b.visit(first.URL())
	b.look("consent, known here")
	b.reads("Allow access?", "“Stocks Web”", "Known here", s.APIResource())
	answer, err := first.Redeem(t.Context(), b.returns(t, first, chromedp.Click(chromedp.CSS(allow))))
	if err != nil || answer.Status != 200 {
		t.Fatalf("redeem: %+v %v", answer, err)
	}
	answer, err = web.Post(t.Context(), s.Deployment, "/revoke", url.Values{"token": {answer.Text("refresh_token")}})
	if err != nil || answer.Status != 200 {
		t.Fatalf("revoke: %+v %v", answer, err)
	}
	b.visit(s.Issuer() + "/account")
	b.look("account, remembered")
	b.reads("“Stocks Web”", "gets it again without asking you")

	second := begin()
	b.returns(t, second, chromedp.Navigate(second.URL()))

	b.visit(s.Issuer() + "/account")
	b.press(`article:has(input[name="client"][value="stocks-web"]) button`)
	b.reads("Access was taken back.")
	third := begin()
	b.visit(third.URL())
	b.reads("Allow access?", "“Stocks Web”")
	b.expect(404, chromedp.Click(chromedp.CSS(decline)))
	if _, err := third.Code(b.location(t)); err == nil || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("the client was told %v, want access_denied", err)
	}
}

// returns takes a step that leads to the client, and returns the code that the
// browser brings. The demo has no page there, where a web application would.
func (b *tab) returns(t *testing.T, flow *agent.Flow, step chromedp.Action[chromedp.Void]) string {
	t.Helper()
	b.expect(404, step)
	if !strings.HasPrefix(b.where(), flow.Client.RedirectURI+"?") {
		t.Fatalf("the browser is at %s: %s", b.where(), b.text())
	}
	code, err := flow.Code(b.location(t))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// testElsewhere: a client that nobody knows wants the answer sent to a web site,
// or to an app. The page says to which, and who declines has the client told so,
// there and nowhere else. Each has a tab of its own: Chromium takes no more clicks
// in one that was sent to an app.
func (s *setup) testElsewhere(t *testing.T, b *tab) {
	tests := map[string]struct{ redirect, says string }{
		"https": {"https://stocks.example.net/callback", "stocks.example.net"},
		"app":   {"com.evil.app:/callback", "com.evil.app"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := b.another(t)
			answer, err := agent.Register(t.Context(), s.Deployment, map[string]any{
				"client_name": "Market news", "redirect_uris": []string{tt.redirect}, "token_endpoint_auth_method": "none",
			})
			if err != nil || answer.Status != 201 {
				t.Fatalf("register: %+v %v", answer, err)
			}
			flow := agent.NewFlow(s.Deployment, agent.Client{ID: answer.Text("client_id"), RedirectURI: tt.redirect}, s.MCPResource())
			b.visit(flow.URL())
			b.look("consent, unverified, " + name)
			b.reads("“Market news”", "Unverified", tt.says)
			if _, err := flow.Code(b.leave(t, decline, tt.redirect)); err == nil || !strings.Contains(err.Error(), "access_denied") {
				t.Errorf("the client was told %v, want access_denied", err)
			}
		})
	}
}

// leave presses a button that leads to a client which is not there, and returns
// where the browser was to go. It gets no further: no name but those of the
// deployment is anything to it, and no app is installed. The watch says so, and
// that is all that it may say.
func (b *tab) leave(t *testing.T, selector, redirect string) *url.URL {
	t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
	var said []string
	for deadline := time.Now().Add(stepTimeout); len(said) < 2 && time.Now().Before(deadline); b.do(chromedp.Sleep(20 * time.Millisecond)) {
		said = b.said()
	}
	address, refused := "", false
	if len(said) == 2 {
		address, _ = strings.CutPrefix(said[0], "a request to a third party: ")
		refused = strings.HasPrefix(said[1], "a Document could not be loaded: net::ERR_")
	}
	if !refused || !strings.HasPrefix(address, redirect+"?") {
		t.Fatalf("want one request, to %s, that fails; got %q", redirect, said)
	}
	b.forget()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
