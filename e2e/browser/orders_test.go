package browser_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// status is what became of an order.
func status(t *testing.T, c called) string {
	t.Helper()
	if c.err != nil || c.result.IsError {
		t.Fatalf("place-order: %+v, %v", c.result, c.err)
	}
	var order struct {
		Status string `json:"status"`
	}
	decode(t, c.result, &order)
	return order.Status
}

func decode(t *testing.T, result *mcp.CallToolResult, into any) {
	t.Helper()
	raw, err := json.Marshal(result.StructuredContent)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// testOrders: a program that may read wants to buy. Its user is asked for more
// access, with a new passcode since this browser has no sign-in, then about the
// order itself; the second order they decline. None of it needs a script.
func (s *setup) testOrders(t *testing.T) {
	p := s.program(t, agent.Document(s.ClientDocument(), s.client.redirect))
	first := s.window(t)
	call := p.call(t.Context(), agent.Tool, nil)
	first.visit(p.asks(t, call))
	first.signIn(t, person.Jane)
	first.press(allow)
	c := ends(t, call)
	if c.err != nil {
		t.Fatal(c.err)
	}
	var prices struct {
		Stocks []struct{ Symbol string } `json:"stocks"`
	}
	decode(t, c.result, &prices)
	order := map[string]any{"symbol": prices.Stocks[0].Symbol, "side": "buy", "quantity": 7, "limit_price": "99999"}

	b := s.window(t)
	b.scripts(false)
	call = p.call(t.Context(), "place-order", order)
	b.visit(p.asks(t, call))
	b.signIn(t, person.Jane)
	b.look("consent, orders")
	b.reads("Prepare orders to buy and sell stocks in your name. You are asked about each one")
	b.press(allow)
	b.ranNone()

	b.visit(p.asks(t, call))
	b.look("order")
	b.reads("Approve this order?", "Buy 7 ", prices.Stocks[0].Symbol, "Verified: client."+s.Domain)
	b.press(allow)
	b.look("order approved")
	p.decided <- struct{}{}
	if got := status(t, ends(t, call)); got != "executed" {
		t.Errorf("the order that was approved is %s", got)
	}

	call = p.call(t.Context(), "place-order", order)
	b.visit(p.asks(t, call))
	b.press(decline)
	b.look("order declined")
	b.reads("Nothing is bought or sold.")
	p.decided <- struct{}{}
	if got := status(t, ends(t, call)); got != "declined" {
		t.Errorf("the order that was declined is %s", got)
	}
	b.visit(s.Issuer() + "/account")
	b.look("account, orders")
	b.reads("You approved an order", "You declined an order")
}

// testTakeBack: access that is taken back on the account page ends at the
// gateway within a second, with the challenge that makes a program ask again.
func (s *setup) testTakeBack(t *testing.T, b *tab, p *program) {
	token, err := p.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.visit(s.Issuer() + "/account")
	b.look("account")
	b.reads("Your account", person.John, "“Portfolio helper”", "Take access back")
	b.press(`article:has(input[name="client"][value="` + p.ClientID() + `"]) button`)
	pressed := time.Now() // the page that answers is there already, so this is late by its time
	b.reads("Access was taken back.")
	b.look("account, taken back")
	if n := b.has(`input[name="client"][value="` + p.ClientID() + `"]`); n > 0 {
		t.Errorf("the client is still on the page")
	}
	s.refused(t, token.AccessToken, pressed)

	// The program finds out by itself, and asks its user again.
	call := p.call(t.Context(), agent.Tool, nil)
	b.visit(p.asks(t, call))
	b.reads("Allow access?", "“Portfolio helper”")
	b.press(decline)
	if c := ends(t, call); c.err == nil {
		t.Errorf("the call went through: %+v", c.result)
	}
}

// refused expects that the gateway challenges whoever comes with the token.
func (s *setup) refused(t *testing.T, token string, since time.Time) {
	t.Helper()
	for {
		sent := time.Since(since)
		answer, err := agent.Get(t.Context(), s.Client(), s.MCPResource(), token)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status == 401 {
			if answer.Header.Get("WWW-Authenticate") == "" {
				t.Error("the refusal has no challenge")
			}
			return
		}
		if sent > time.Second {
			t.Fatalf("a token that was taken back is answered %d after %s", answer.Status, sent)
		}
	}
}

// testSignOut ends the session; what programs were given stays.
func (s *setup) testSignOut(t *testing.T, b *tab) {
	b.visit(s.Issuer() + "/account")
	b.press(`main a[href="/signout"]`)
	b.look("sign out")
	b.press("main form button")
	b.look("signed out")
	b.visit(s.Issuer() + "/account")
	b.reads("Sign in")
	b.look("sign-in, account")
	b.do(chromedp.WaitVisible(chromedp.CSS(`input[name="email"]`)))
}
