package e2e_test

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/e2e/agent"
	"demo.example/e2e/deployment"
	"demo.example/e2e/person"
)

// wrong returns a passcode that differs from the right one.
func wrong(passcode string) string {
	last := len(passcode) - 1
	return passcode[:last] + string('0'+(passcode[last]-'0'+1)%10)
}

// passcodePage takes a new browser to the page that asks for the passcode.
func passcodePage(t *testing.T, f *agent.Flow, email string) (*person.Person, *person.Page) {
	t.Helper()
	p := person.New(demo.Deployment, email)
	page, err := p.Open(t.Context(), f.URL())
	if err == nil {
		page, err = p.Answer(t.Context(), page, person.Allow)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !page.Asks("passcode") {
		t.Fatalf("got the page %q (%d), want one that asks for the passcode", page.Title, page.Status)
	}
	return p, page
}

func TestWrongPasscode(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	p, page := passcodePage(t, f, person.John)
	again, err := p.Submit(t.Context(), page, url.Values{"passcode": {wrong(page.Passcode())}})
	if err != nil {
		t.Fatal(err)
	}
	if again.Status != http.StatusBadRequest || !again.Asks("passcode") || again.Text == page.Text {
		t.Fatalf("a wrong passcode got %d %q, want a page that says so and asks again", again.Status, again.Text)
	}
	for err == nil && again.Callback == nil {
		again, err = p.Answer(t.Context(), again, person.Allow)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Code(again.Callback); err != nil {
		t.Errorf("the right passcode after a wrong one: %v", err)
	}
}

func TestTooManyWrongPasscodes(t *testing.T) {
	p, page := passcodePage(t, agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource()), person.John)
	for range 5 {
		if _, err := p.Submit(t.Context(), page, url.Values{"passcode": {wrong(page.Passcode())}}); err != nil {
			t.Fatal(err)
		}
	}
	after, err := p.Submit(t.Context(), page, url.Values{"passcode": {page.Passcode()}})
	if err != nil {
		t.Fatal(err)
	}
	if after.Callback != nil || after.Offers("decision", person.Allow) {
		t.Error("the right passcode works after too many wrong ones")
	}
}

// TestPasscodeBelongsToOneBrowser: the one that asked for it.
func TestPasscodeBelongsToOneBrowser(t *testing.T) {
	_, page := passcodePage(t, agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource()), person.John)
	after, err := person.New(demo.Deployment, person.John).Submit(t.Context(), page, url.Values{"passcode": {page.Passcode()}})
	if err != nil {
		t.Fatal(err)
	}
	if after.Callback != nil || after.Offers("decision", person.Allow) || after.Status < 400 {
		t.Errorf("another browser got %d %q, want a refusal", after.Status, after.Title)
	}
}

// TestPasscodeIsUsedOnce: it signs in no second browser, not even one with the
// cookies that the first had when it asked.
func TestPasscodeIsUsedOnce(t *testing.T) {
	p, page := passcodePage(t, agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource()), person.John)
	thief := p.Copy()
	passcode := url.Values{"passcode": {page.Passcode()}}
	first, err := p.Submit(t.Context(), page, passcode)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Offers("decision", person.Allow) {
		t.Fatalf("the passcode led to %d %q, want the consent page", first.Status, first.Title)
	}
	second, err := thief.Submit(t.Context(), page, passcode)
	if err != nil {
		t.Fatal(err)
	}
	if second.Callback != nil || second.Offers("decision", person.Allow) {
		t.Errorf("the second use led to %d %q, want a refusal", second.Status, second.Title)
	}
}

// TestWhoIsKnownShowsNowhere: an unknown or unapproved address sees what an
// approved one sees, and gets no mail.
func TestWhoIsKnownShowsNowhere(t *testing.T) {
	client := newClient(t)
	shape := func(page *person.Page, email string) []string {
		masked := email[:1] + "•••" + email[strings.IndexByte(email, '@'):] // as the page shows what was typed
		return []string{http.StatusText(page.Status), page.Title, strings.ReplaceAll(page.Text, masked, "ADDRESS")}
	}
	pages := map[string]*person.Page{}
	for _, email := range []string{person.Nobody, person.Suspended} {
		p := person.New(demo.Deployment, email)
		page, err := p.Open(t.Context(), agent.NewFlow(demo.Deployment, client, demo.MCPResource()).URL())
		if err == nil {
			page, err = p.Submit(t.Context(), page, url.Values{"email": {email}})
		}
		if err != nil {
			t.Fatal(err)
		}
		pages[email] = page
	}
	// The mail to the known user comes last: had there been others, they
	// would have arrived.
	john, page := passcodePage(t, agent.NewFlow(demo.Deployment, client, demo.MCPResource()), person.John)
	for email, other := range pages {
		if diff := cmp.Diff(shape(page, person.John), shape(other, email)); diff != "" {
			t.Errorf("%s sees another page than a known user (-known +other):\n%s", email, diff)
		}
		newest, err := john.Inbox.Newest(t.Context(), email)
		if err != nil {
			t.Fatal(err)
		}
		if newest != "" {
			t.Errorf("a mail was sent to %s", email)
		}
	}
}

// TestAuthorizeRefusesLocally: where client or redirect URI are wrong, a page
// says so and nobody is redirected (RFC 6749 §4.1.2.1).
func TestAuthorizeRefusesLocally(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	tests := map[string]agent.Edit{
		"unknown client":             agent.With("client_id", "dcr-nobody"),
		"no client":                  agent.Without("client_id"),
		"no redirect URI":            agent.Without("redirect_uri"),
		"other path":                 agent.With("redirect_uri", redirect+"/x"),
		"other host":                 agent.With("redirect_uri", strings.Replace(redirect, "127.0.0.1", "evil.example", 1)),
		"https for http":             agent.With("redirect_uri", strings.Replace(redirect, "http:", "https:", 1)),
		"user information":           agent.With("redirect_uri", strings.Replace(redirect, "//", "//evil.example@", 1)),
		"fragment":                   agent.With("redirect_uri", redirect+"#x"),
		"encoded authority (trap 2)": agent.With("redirect_uri", "http://127.0.0.1%2Fcallback%23@evil.example/callback"),
		"markup":                     agent.With("client_id", `"><script>alert(1)</script>`),
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			page, err := person.New(demo.Deployment, person.John).Open(t.Context(), f.URL(edit))
			if err != nil {
				t.Fatal(err)
			}
			if page.Callback != nil || page.Header.Get("Location") != "" {
				t.Fatalf("redirected to %s", page.Callback)
			}
			if page.Status != http.StatusBadRequest || page.Title == "" || page.Text == "" {
				t.Errorf("got %d %q, want a page with status 400", page.Status, page.Text)
			}
			if strings.Contains(page.HTML, "<script>alert") {
				t.Error("the page runs what the client sent")
			}
		})
	}
}

// TestAuthorizeRefusesAtTheClient: other mistakes are told to the client, with
// state and issuer.
func TestAuthorizeRefusesAtTheClient(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	tests := map[string]struct {
		edits []agent.Edit
		want  string
	}{
		"no PKCE":             {[]agent.Edit{agent.Without("code_challenge"), agent.Without("code_challenge_method")}, "invalid_request"},
		"no challenge":        {[]agent.Edit{agent.Without("code_challenge")}, "invalid_request"},
		"short challenge":     {[]agent.Edit{agent.With("code_challenge", "short")}, "invalid_request"},
		"plain PKCE":          {[]agent.Edit{agent.With("code_challenge_method", "plain")}, "invalid_request"},
		"PKCE without method": {[]agent.Edit{agent.Without("code_challenge_method")}, "invalid_request"},
		"unknown resource":    {[]agent.Edit{agent.With("resource", "https://evil.example/")}, "invalid_target"},
		"resource of others":  {[]agent.Edit{agent.With("resource", demo.APIResource())}, "invalid_target"},
		"unknown scope":       {[]agent.Edit{agent.With("scope", "stocks/own")}, "invalid_scope"},
		"implicit grant":      {[]agent.Edit{agent.With("response_type", "token")}, "unsupported_response_type"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			page, err := person.New(demo.Deployment, person.John).Open(t.Context(), f.URL(tt.edits...))
			if err != nil {
				t.Fatal(err)
			}
			if page.Callback == nil {
				t.Fatalf("got the page %q (%d), want a redirect", page.Title, page.Status)
			}
			q := page.Callback.Query()
			got := map[string]string{"error": q.Get("error"), "state": q.Get("state"), "iss": q.Get("iss"), "code": q.Get("code")}
			want := map[string]string{"error": tt.want, "state": f.State, "iss": demo.Issuer(), "code": ""}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeniedConsent(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	callback, err := user(person.John).Authorize(t.Context(), f.URL(), person.Deny)
	if err != nil {
		t.Fatal(err)
	}
	q := callback.Query()
	if q.Get("error") != "access_denied" || q.Get("iss") != demo.Issuer() || q.Get("state") != f.State || q.Get("code") != "" {
		t.Errorf("declining was answered with %v, want access_denied with state and iss", q)
	}
}

// TestTokenRefusals: each code is good once, for its client, verifier,
// redirect URI and resource.
func TestTokenRefusals(t *testing.T) {
	other := newClient(t)
	tests := map[string]struct {
		edits []agent.Edit
		want  []string
	}{
		"wrong verifier":     {[]agent.Edit{agent.With("code_verifier", strings.Repeat("v", 43))}, []string{"invalid_grant"}},
		"no verifier":        {[]agent.Edit{agent.Without("code_verifier")}, []string{"invalid_grant", "invalid_request"}},
		"empty verifier":     {[]agent.Edit{agent.With("code_verifier", "")}, []string{"invalid_grant", "invalid_request"}},
		"other redirect URI": {[]agent.Edit{agent.With("redirect_uri", redirect+"x")}, []string{"invalid_grant"}},
		"other resource":     {[]agent.Edit{agent.With("resource", demo.APIResource())}, []string{"invalid_target"}},
		"other code":         {[]agent.Edit{agent.With("code", strings.Repeat("c", 43))}, []string{"invalid_grant"}},
		"other client":       {nil, []string{"invalid_grant"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
			c := code(t, f, person.John)
			if name == "other client" {
				f.Client = other
			}
			answer, err := f.Redeem(t.Context(), c, tt.edits...)
			want(t, answer, err, http.StatusBadRequest)
			wantError(t, answer, tt.want...)
		})
	}
}

func wantError(t *testing.T, answer *agent.Answer, codes ...string) {
	t.Helper()
	for _, code := range codes {
		if answer.Text("error") == code {
			return
		}
	}
	t.Errorf("answered %d %s, want the error %s", answer.Status, answer.Body, strings.Join(codes, " or "))
}

// TestCodeReplay: a code that comes a second time was stolen, so what it gave
// the first time ends.
func TestCodeReplay(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	c := code(t, f, person.John)
	first, err := f.Redeem(t.Context(), c)
	want(t, first, err, http.StatusOK)
	want2xx(t, first.Text("access_token"))

	second, err := f.Redeem(t.Context(), c)
	want(t, second, err, http.StatusBadRequest)
	wantError(t, second, "invalid_grant")
	eventually(t, "the replay of a code ends its tokens", func() error {
		return refused(t, first.Text("access_token"))
	})
	refresh, err := f.Client.Refresh(t.Context(), demo.Deployment, first.Text("refresh_token"))
	want(t, refresh, err, http.StatusBadRequest)
}

// TestRevocation: a revoked token stops working at the gateway within a
// second.
func TestRevocation(t *testing.T) {
	client := newClient(t)
	token := tokens(t, agent.NewFlow(demo.Deployment, client, demo.MCPResource()), person.John).Text("access_token")
	want2xx(t, token)
	answer, err := client.Post(t.Context(), demo.Deployment, "/revoke", url.Values{"token": {token}})
	want(t, answer, err, http.StatusOK)
	eventually(t, "revocation", func() error { return refused(t, token) })
}

// TestIntrospectionIsForTheGateway: nobody else learns what is behind a token.
func TestIntrospectionIsForTheGateway(t *testing.T) {
	client := newClient(t)
	token := tokens(t, agent.NewFlow(demo.Deployment, client, demo.MCPResource()), person.John).Text("access_token")
	for name, caller := range map[string]agent.Client{
		"nobody":         {},
		"wrong secret":   {ID: "gateway", Secret: strings.Repeat("s", 43)},
		"without secret": {ID: "gateway"},
		"its own client": client,
		"the web client": webClient(t),
		"the MCP server": mcpServer(t),
	} {
		t.Run(name, func(t *testing.T) {
			for _, ask := range []func() (*agent.Answer, error){
				func() (*agent.Answer, error) { return caller.Introspect(t.Context(), demo.Deployment, token) },
				func() (*agent.Answer, error) { return caller.Phantom(t.Context(), demo.Deployment, token) },
			} {
				answer, err := ask()
				if err != nil {
					t.Fatal(err)
				}
				if answer.Status == http.StatusOK && string(answer.Body) != `{"active":false}`+"\n" || answer.Status >= 500 {
					t.Errorf("answered %d %s, want a refusal", answer.Status, answer.Body)
				}
			}
		})
	}
	inactive, err := gateway(t).Introspect(t.Context(), demo.Deployment, "unknown")
	want(t, inactive, err, http.StatusOK)
	if diff := cmp.Diff(map[string]any{"active": false}, inactive.JSON()); diff != "" {
		t.Errorf("an unknown token (-want +got):\n%s", diff)
	}
}

// TestExchangeRefusals: only the MCP server exchanges, only what was sent to
// it, and only for the API.
func TestExchangeRefusals(t *testing.T) {
	client := newClient(t)
	opaque := tokens(t, agent.NewFlow(demo.Deployment, client, demo.MCPResource()), person.John).Text("access_token")
	subject := phantom(t, opaque)
	forAPI := phantom(t, apiToken(t, person.John))
	server := mcpServer(t)
	tests := map[string]struct {
		caller  agent.Client
		subject string
		edits   []agent.Edit
		want    []string
	}{
		"public client":          {client, subject, nil, []string{"unauthorized_client", "invalid_client"}},
		"nobody":                 {agent.Client{}, subject, nil, []string{"invalid_client", "invalid_request"}},
		"wrong secret":           {agent.Client{ID: "stocksmcp", Secret: strings.Repeat("s", 43)}, subject, nil, []string{"invalid_client"}},
		"without secret":         {agent.Client{ID: "stocksmcp"}, subject, nil, []string{"invalid_client"}},
		"web client":             {webClient(t), subject, nil, []string{"unauthorized_client"}},
		"gateway":                {gateway(t), subject, nil, []string{"unauthorized_client"}},
		"for the MCP server":     {server, subject, []agent.Edit{agent.With("resource", demo.MCPResource())}, []string{"invalid_target"}},
		"for a stranger":         {server, subject, []agent.Edit{agent.With("resource", "https://evil.example")}, []string{"invalid_target"}},
		"for nobody":             {server, subject, []agent.Edit{agent.Without("resource")}, []string{"invalid_target"}},
		"for an audience too":    {server, subject, []agent.Edit{agent.With("audience", "https://evil.example")}, []string{"invalid_target", "invalid_request"}},
		"wider scope":            {server, subject, []agent.Edit{agent.With("scope", "stocks/read stocks/trade")}, []string{"invalid_scope"}},
		"token of the API":       {server, forAPI, nil, []string{"invalid_request"}},
		"exchanged once before":  {server, exchanged(t, subject), nil, []string{"invalid_request"}},
		"unknown opaque token":   {server, opaque + "x", nil, []string{"invalid_request"}},
		"no subject token":       {server, "", nil, []string{"invalid_request"}},
		"other type":             {server, subject, []agent.Edit{agent.With("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")}, []string{"invalid_request"}},
		"refresh token asked":    {server, subject, []agent.Edit{agent.With("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")}, []string{"invalid_request"}},
		"tampered subject token": {server, tamper(subject), nil, []string{"invalid_request"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answer, err := tt.caller.Exchange(t.Context(), demo.Deployment, tt.subject, tt.edits...)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Status != http.StatusBadRequest && answer.Status != http.StatusUnauthorized {
				t.Errorf("answered %d, want 400 or 401", answer.Status)
			}
			wantError(t, answer, tt.want...)
			if answer.Text("access_token") != "" {
				t.Error("a token was issued")
			}
		})
	}
}

// TestOnlyTheGatewayIsPublished, and only on loopback (attacks G7, S3).
func TestOnlyTheGatewayIsPublished(t *testing.T) {
	for _, service := range deployment.Services {
		addresses, err := demo.Published(t.Context(), service)
		if err != nil {
			t.Fatal(err)
		}
		if demo.Runtime == deployment.Docker && service != "gateway" && len(addresses) > 0 {
			t.Errorf("%s publishes %v", service, addresses)
		}
		for _, address := range addresses {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
				t.Errorf("%s can be reached from other machines at %s", service, address)
			}
		}
	}
}
