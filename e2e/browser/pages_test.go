package browser_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// testDevice: a program without a browser shows a code, which its user types, on
// pages that run no script.
func (s *setup) testDevice(t *testing.T, b *tab) {
	b.scripts(false)
	defer b.scripts(true)
	answer, err := agent.Register(t.Context(), s.Deployment, map[string]any{
		"client_name": "Console", "token_endpoint_auth_method": "none", "grant_types": []string{"urn:ietf:params:oauth:grant-type:device_code"},
	})
	if err != nil || answer.Status != 201 {
		t.Fatalf("register: %+v %v", answer, err)
	}
	device := agent.Client{ID: answer.Text("client_id")}
	answer, err = device.Post(t.Context(), s.Deployment, "/device_authorization", url.Values{"scope": {"stocks/read"}, "resource": {s.MCPResource()}})
	if err != nil || answer.Status != 200 {
		t.Fatalf("device authorization: %+v %v", answer, err)
	}
	b.visit(answer.Text("verification_uri"))
	b.look("device")
	b.enter("user_code", answer.Text("user_code"))
	b.press("main form button")
	if b.has(`input[name="email"]`) > 0 {
		b.signIn(t, person.John)
	}
	b.look("consent, device")
	b.press(allow)
	b.look("device done")
	b.reads("You can go back to your device")
}

// testOtherPages are those that no client leads to.
func (s *setup) testOtherPages(t *testing.T) {
	b := s.window(t)
	for name, page := range map[string]struct {
		address string
		status  int64
		says    string
	}{
		"start page": {s.Origin("") + "/", 200, person.John},
		"home":       {s.Issuer() + "/", 200, "This is where people sign in"},
		"error":      {s.Issuer() + "/authorize?client_id=nobody", 400, "Request"},
		"nothing":    {s.Origin("nothing") + "/", 404, "Nothing at nothing." + s.Domain},
		"nobody":     {s.Issuer() + "/signout", 200, "You are signed out"},
	} {
		b.expect(page.status, chromedp.Navigate(page.address))
		b.reads(page.says)
		b.look(name)
	}
}

// testHostileNames: whatever a client calls itself, it stays text, looks like
// what it is, and loads nothing (D3, O17).
func (s *setup) testHostileNames(t *testing.T, b *tab) {
	tests := map[string]struct {
		name     string
		shown    string // exactly this is the name on the page
		warnings []string
	}{
		"markup": {
			`</h2><script>document.title="owned"</script>Bank`,
			`“</h2><script>document.title='owned'</script>Bank”`, nil,
		},
		"image": {
			`<img src=//third.example/x onerror=document.title="owned">`,
			`“<img src=//third.example/x onerror=document.tit…”`, nil,
		},
		"right-to-left": {"Good\u202egpj.eliforP\u202c", "“Good gpj.eliforP”", []string{"hidden characters"}},
		"zero-width":    {"Stocks\u200b\u200dWeb", "“Stocks Web”", []string{"hidden characters", "is, or looks like, that of “Stocks Web”"}},
		"very long":     {strings.Repeat("VeryLongName", 8), "“VeryLongNameVeryLongNameVeryLongNameVeryLongNam…”", nil},
		"look-alike":    {"МСР Inspector", "“МСР Inspector”", []string{"looks like, that of “MCP Inspector”"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := b.in(t)
			answer, err := agent.Register(t.Context(), s.Deployment, map[string]any{
				"client_name": tt.name, "redirect_uris": []string{s.client.redirect}, "token_endpoint_auth_method": "none",
				"logo_uri": "https://third.example/logo.png", "client_uri": "https://third.example/",
			})
			if err != nil || answer.Status != 201 {
				t.Fatalf("register: %+v %v", answer, err)
			}
			flow := agent.NewFlow(s.Deployment, agent.Client{ID: answer.Text("client_id"), RedirectURI: s.client.redirect}, s.MCPResource())
			b.visit(flow.URL())
			if b.has(`input[name="email"]`) > 0 {
				b.signIn(t, person.John)
			}
			shown := run(b, chromedp.Evaluate[string](`document.querySelector("#client-name bdi").textContent`))
			if shown != tt.shown {
				t.Errorf("shown as %q, want %q", shown, tt.shown)
			}
			if n := b.has("#client-name bdi *"); n > 0 {
				t.Errorf("the name has %d elements", n)
			}
			if title := run(b, chromedp.Title()); !strings.HasPrefix(title, "Allow access?") {
				t.Errorf("a script ran: the title is %q", title)
			}
			b.reads(tt.warnings...)
			b.look("consent, name " + name)
		})
	}
}

// testWithoutScript is the main journey with JavaScript switched off. Orders, a
// device, another passcode and changes in the administration are without it
// wherever they are tested.
func (s *setup) testWithoutScript(t *testing.T) {
	b := s.window(t)
	b.scripts(false)
	flow := s.flow(t, "Plain program")
	b.visit(flow.URL())
	b.signIn(t, person.John)
	b.reads("Allow access?", "“Plain program”")
	b.press(allow)
	b.ranNone()
	code, err := flow.Code(b.location(t))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := flow.Redeem(t.Context(), code)
	if err != nil || answer.Status != 200 {
		t.Fatalf("redeem: %+v %v", answer, err)
	}
	b.visit(s.Issuer() + "/account")
	b.press(`article:has(input[name="client"][value="` + flow.Client.ID + `"]) button`)
	b.reads("Access was taken back.")
	b.press(`main a[href="/signout"]`)
	b.press("main form button")
	b.reads("You are signed out")
	b.visit(s.Origin("") + "/")
	b.reads(s.MCPResource())
}
