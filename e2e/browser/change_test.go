package browser_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// testRegion: an administrator moves a user. The agent that works for them goes
// on with the token that it has, and gets the stocks of the other region.
func (s *setup) testRegion(t *testing.T, b *tab, p *program) {
	for _, region := range []string{"Europe", "USA"} {
		b.press(`nav a[href="/admin/users"]`)
		b.press(`a[aria-label="Move ` + person.John + ` to ` + region + `"]`)
		b.look("admin, region")
		b.reads("Move this user to "+region+"?", person.John, "they see the stocks of region "+region)
		b.press("main form button")
		pressed := time.Now()
		b.reads("The region was changed.")
		for {
			called := time.Since(pressed)
			got := p.region(t)
			if got == region {
				break
			}
			if called > time.Second {
				t.Fatalf("called after %s, the tool answers for %s, want %s", called, got, region)
			}
		}
	}
}

// region is the one whose stocks the tool returns to the agent.
func (p *program) region(t *testing.T) string {
	t.Helper()
	c := ends(t, p.call(t.Context(), agent.Tool, nil))
	if c.err != nil || c.result.IsError {
		t.Fatalf("%s: %+v, %v", agent.Tool, c.result, c.err)
	}
	var prices struct {
		Region string `json:"region"`
	}
	decode(t, c.result, &prices)
	return prices.Region
}

// testRevoke: an administrator revokes one token, for which the agent gets
// another, and then the whole access, after which it has to ask its user.
func (s *setup) testRevoke(t *testing.T, b, john *tab, p *program) {
	token, err := p.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(token.AccessToken)) // which is all that is stored of it
	revoke := `a[aria-label="Revoke ` + hex.EncodeToString(sum[:8]) + `"]`
	b.press(`nav a[href="/admin/grants"]`)
	b.press(`a[aria-label="Tokens of “Night watch” for ` + person.John + `"]`)
	b.press(revoke)
	b.look("admin, revoke token")
	b.reads("Revoke this access token?", "“Night watch”, for "+person.John)
	b.press("main form button")
	s.refused(t, token.AccessToken, time.Now())
	b.reads("The token was revoked.")
	if b.has(revoke) > 0 {
		t.Error("the token can still be revoked")
	}
	answer, err := agent.Client{ID: p.ClientID()}.Refresh(t.Context(), s.Deployment, token.RefreshToken)
	if err != nil || answer.Status != 200 {
		t.Fatalf("refresh: %+v %v", answer, err)
	}

	b.press(`nav a[href="/admin/grants"]`)
	revoke = `a[aria-label="Revoke access of “Night watch” for ` + person.John + `"]`
	b.press(revoke)
	b.look("admin, revoke access")
	b.reads("Revoke this access?", "“Night watch”, for "+person.John, "The client has to ask for access again.")
	b.press("main form button")
	s.refused(t, answer.Text("access_token"), time.Now())
	b.reads("Access was revoked.")
	b.press(`nav a[href="/admin/grants"]`)
	if b.has(revoke) > 0 {
		t.Errorf("the access is still in the list: %s", b.text())
	}

	call := p.call(t.Context(), agent.Tool, nil)
	john.visit(p.asks(t, call))
	john.press(allow)
	if c := ends(t, call); c.err != nil || c.result.IsError {
		t.Errorf("the call once the user allowed it again: %+v, %v", c.result, c.err)
	}
}

// testDeleteClient: of a client that is deleted nothing is left. The agent finds
// out by itself: it registers anew, and asks its user.
func (s *setup) testDeleteClient(t *testing.T, b, john *tab, p *program) {
	token, err := p.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := p.ClientID()
	remove := toChange("delete", id)
	b.press(`nav a[href="/admin/clients"]`)
	b.press(remove)
	b.look("admin, delete client")
	b.reads("Delete this client?", "“Night watch”, "+id, "Its registration is removed")
	b.press("main form button")
	s.refused(t, token.AccessToken, time.Now())
	b.reads("The client was deleted.")
	if b.has(remove) > 0 {
		t.Error("the client is still in the list")
	}

	call := p.call(t.Context(), agent.Tool, nil)
	john.visit(p.asks(t, call))
	john.reads("Allow access?", "“Night watch”")
	if p.ClientID() == id {
		t.Error("the agent came as the client that was deleted")
	}
	john.press(decline)
	if c := ends(t, call); c.err == nil {
		t.Errorf("the call went through: %+v", c.result)
	}
}

// testSuspendClient: a client is suspended while it works, and let in again. Its
// next call is challenged within a second; its user, whom it then sends to ask
// for access, is told why there is none, and can give it once it is let in. No
// page of this runs a script.
func (s *setup) testSuspendClient(t *testing.T, b, john *tab) {
	for _, b := range []*tab{b, john} {
		b.scripts(false)
		defer b.scripts(true)
	}
	p := s.program(t, agent.Document(s.ClientDocument(), s.client.redirect))
	call := p.call(t.Context(), agent.Tool, nil)
	john.visit(p.asks(t, call))
	john.press(allow)
	if c := ends(t, call); c.err != nil || c.result.IsError {
		t.Fatalf("the agent's first call: %+v, %v", c.result, c.err)
	}
	token, err := p.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	b.press(`nav a[href="/admin/clients"]`)
	b.press(toChange("suspend", p.ClientID()))
	b.look("admin, suspend client")
	b.reads("Suspend this client?", p.ClientID(), "It gets no new access until it is let in again.")
	b.press("main form button")
	s.refused(t, token.AccessToken, time.Now())
	b.reads("The client is suspended.")

	call = p.call(t.Context(), agent.Tool, nil)
	address := p.asks(t, call)
	john.expect(400, chromedp.Navigate(address))
	john.look("suspended client")
	john.reads("This application is suspended")

	b.press(toChange("restore", p.ClientID()))
	b.reads("Let this client in again?", "What it had before stays ended.")
	b.press("main form button")
	b.reads("The client is let in again.")
	john.visit(address)
	john.press(allow)
	john.ranNone()
	if c := ends(t, call); c.err != nil || c.result.IsError {
		t.Errorf("the call once the client is back: %+v, %v", c.result, c.err)
	}
}

// toChange is the link to a change of a client. Several may have the same name.
func toChange(action, client string) string {
	return `a[href="/admin/clients/change?` + url.Values{"action": {action}, "client": {client}}.Encode() + `"]`
}
