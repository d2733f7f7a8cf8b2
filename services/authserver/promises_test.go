package authserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
)

// What the pages say has to be true of what a client gets, whatever it does
// between the page and its first token (O17).

// once is a client that registered for no refresh tokens.
func (h *harness) once(name string) (id, registrationToken string) {
	h.Helper()
	a := h.registerRaw(plus(agentMetadata(), "client_name", name, "grant_types", []string{"authorization_code"}))
	return a.JSON["client_id"].(string), a.JSON["registration_access_token"].(string)
}

// TestShortAccessStaysShort: who was told of 15 minutes gave 15 minutes, though
// the client registers for more before it redeems the code (O17).
func TestShortAccessStaysShort(t *testing.T) {
	h := newHarness(t)
	id, registration := h.once("Quick Look")
	browser := h.newBrowser()
	page := h.signInAs(browser, h.authorizeQuery(id), john)
	if !strings.Contains(page.Body, "For 15 minutes from when you allow it.") || strings.Contains(page.Body, "30 days") {
		t.Errorf("how long: %s", page.Body)
	}
	h.wait(9 * time.Minute) // it thinks
	code := h.decide(browser, page, "allow").Get("code")
	if a := h.manage(http.MethodPut, id, registration, plus(agentMetadata(), "client_id", id, "client_name", "Quick Look")); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	tokens := h.post(h.newBrowser(), "/token", redeemForm(id, code))
	if tokens.Status != http.StatusOK || tokens.JSON["refresh_token"] != nil || tokens.JSON["expires_in"] != grants.AccessLifetime.Seconds() {
		t.Errorf("%d %v", tokens.Status, tokens.JSON)
	}
	access := tokens.JSON["access_token"].(string)
	if !h.active(access) {
		t.Error("the token is good for nothing")
	}
	ends := moment(h.time().Add(grants.CodeLifetime + grants.AccessLifetime).Truncate(time.Minute))
	if account := h.get(browser, "/account").Body; !strings.Contains(account, ends+" at the latest") {
		t.Errorf("the account page does not say %s: %s", ends, account)
	}
	h.wait(grants.AccessLifetime)
	if h.active(access) {
		t.Error("the token outlived its quarter of an hour")
	}
	h.trail.Flush()
	if account := h.get(browser, "/account").Body; !strings.Contains(account, "Quick Look") || strings.Contains(account, "Take access back</button>") {
		t.Errorf("afterwards: %s", account)
	}
	// From now on users are told of more, and it gets more.
	page = h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(id).Encode()))
	if !strings.Contains(page.Body, "(30 days) at the latest") {
		t.Errorf("how long now: %s", page.Body)
	}
	tokens = h.post(h.newBrowser(), "/token", redeemForm(id, h.decide(browser, page, "allow").Get("code")))
	if tokens.JSON["refresh_token"] == nil {
		t.Errorf("%v", tokens.JSON)
	}
}

// TestDocumentChangesAfterConsent is the same for a client whose document says
// more when somebody else looks at it (O17).
func TestDocumentChangesAfterConsent(t *testing.T) {
	h, host := newClientHost(t)
	doc := plus(h.document(), "grant_types", []string{"authorization_code"})
	host.serve(doc, "no-store")
	id := h.cfg.ClientDocument()
	browser := h.newBrowser()
	code := h.decide(browser, h.signInAs(browser, h.authorizeQuery(id), john), "allow").Get("code")
	host.serve(plus(doc, "grant_types", []string{"authorization_code", "refresh_token"}), "no-store")
	browser = h.newBrowser()
	h.decide(browser, h.signInAs(browser, h.authorizeQuery(id), jane), "allow")
	if tokens := h.post(h.newBrowser(), "/token", redeemForm(id, code)); tokens.Status != http.StatusOK || tokens.JSON["refresh_token"] != nil {
		t.Errorf("%d %v", tokens.Status, tokens.JSON)
	}
}

// TestRenamedClientAsksAgain: access was given to a name, and ends with it. The
// page of the account goes on telling which name that was (O17).
func TestRenamedClientAsksAgain(t *testing.T) {
	h := newHarness(t)
	a := h.registerRaw(plus(agentMetadata(), "client_name", "Quick Look"))
	id, registration := a.JSON["client_id"].(string), a.JSON["registration_access_token"].(string)
	browser := h.newBrowser()
	code := h.decide(browser, h.signInAs(browser, h.authorizeQuery(id), john), "allow").Get("code")
	access := h.post(h.newBrowser(), "/token", redeemForm(id, code)).JSON["access_token"].(string)
	for _, name := range []string{"Quick Look", "Claude"} {
		if a := h.manage(http.MethodPut, id, registration, plus(agentMetadata(), "client_id", id, "client_name", name)); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if got := h.active(access); got != (name == "Quick Look") {
			t.Errorf("called %s the token is active: %v", name, got)
		}
	}
	// The other way round: it is renamed while the page is open.
	open := h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(id).Encode()))
	if a := h.manage(http.MethodPut, id, registration, plus(agentMetadata(), "client_id", id, "client_name", "Gemini")); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	form := fields(open)
	form.Set("decision", "allow")
	if a := h.post(browser, "/consent", form); !strings.Contains(open.Body, "Claude") || a.Status != http.StatusBadRequest {
		t.Errorf("allowed under another name than was shown: %d %s", a.Status, a.Header.Get("Location"))
	}
	h.trail.Flush()
	if account := h.get(browser, "/account").Body; !strings.Contains(account, "You gave “Quick Look” access.") || strings.Contains(account, "Claude") {
		t.Errorf("the account page: %s", account)
	}
}

// TestAdministrationIsHonest: the administration's own consent says what it
// gives, and taking it back ends it, as does revoking its access.
func TestAdministrationIsHonest(t *testing.T) {
	h := newHarness(t)
	if can := abilities(h.clients.Presets[clients.Administration], "openid", store.User{}); len(can) != 1 || !strings.Contains(can[0], "see and change the users, clients, access and keys") {
		t.Errorf("it will be able to %v", can)
	}
	if long := howLong(h.clients.Presets[clients.Administration], h.time()); !strings.HasPrefix(long, "Until you sign out there, for 8 hours at most.") || !strings.Contains(long, "without asking you") {
		t.Errorf("how long: %s", long)
	}
	for name, end := range map[string]func(browser *http.Client){
		"taken back": func(browser *http.Client) { h.change(browser, "take back", clients.Administration) },
		"revoked": func(*http.Client) {
			grant := h.row("SELECT id FROM grants WHERE client_id = ? AND revoked = 0 ORDER BY id DESC LIMIT 1", clients.Administration)
			other := h.administrator()
			if a := h.administer(other, "/admin/grants/change?action=revoke&grant="+grant); a.Status != http.StatusSeeOther && a.Status != http.StatusOK {
				t.Errorf("revoke: %d %s", a.Status, a.Body)
			}
		},
	} {
		browser := h.administrator()
		account := h.get(browser, "/account").Body
		if strings.Contains(account, "it has no access") || !strings.Contains(account, "Administration") {
			t.Errorf("the account page: %s", account)
		}
		end(browser)
		if h.administers(browser) {
			t.Errorf("%s: it goes on", name)
		}
	}
}

// TestRevokedRememberedClientAsksAgain: what an administrator's page says of a
// revoked access is true of clients whose consent is remembered as well.
func TestRevokedRememberedClientAsksAgain(t *testing.T) {
	h := newHarness(t)
	browser, boss := h.newBrowser(), h.administrator()
	page := h.signInAs(browser, h.webQuery(), john)
	if !strings.Contains(page.Body, "gets the same again without asking you, until you take it back") {
		t.Errorf("how long: %s", page.Body)
	}
	h.allow(browser, page)
	if a := h.get(browser, "/authorize?"+h.webQuery().Encode()); strings.Contains(h.follow(browser, a).Body, "Allow access?") {
		t.Fatal("consent is not remembered")
	}
	grant := h.row("SELECT id FROM grants WHERE client_id = 'stocks-web' ORDER BY id DESC LIMIT 1")
	h.administer(boss, "/admin/grants/change?action=revoke&grant="+grant)
	if page := h.follow(browser, h.get(browser, "/authorize?"+h.webQuery().Encode())); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("after it was revoked: %d %s", page.Status, page.Header.Get("Location"))
	}
}

// TestWhatScopesMean: the words for each scope, and nothing is asked for in
// words that say nothing.
func TestWhatScopesMean(t *testing.T) {
	h := newHarness(t)
	user := h.user(john)
	const orders = "See your orders, also those that you placed with other applications"
	for name, tt := range map[string]struct {
		client store.Client
		scope  string
		user   store.User
		want   string
	}{
		"read, before the sign-in": {store.Client{Type: clients.TypeWeb, Assurance: 2}, "stocks/read offline_access", store.User{}, "Read the stock prices of your region"},
		"an agent that proves nothing": {store.Client{Type: clients.TypeMCP, Assurance: clients.AssuranceNone}, "stocks/read stocks/trade", user,
			"Read the stock prices of your region, USA, as they were 15 minutes before, since it cannot prove who it is|" +
				"Prepare orders to buy and sell stocks in your name. The stocks service will refuse them, since it cannot prove who it is|" + orders},
		"an agent with a key": {store.Client{Type: clients.TypeMCP, Assurance: clients.AssuranceKey}, "stocks/trade", user,
			"Prepare orders to buy and sell stocks in your name. You are asked about each one, on a page of this site|" + orders},
		"an application": {store.Client{Type: clients.TypeWeb, Assurance: 2}, "stocks/trade openid email", user,
			"Buy and sell stocks in your name, for 15 minutes after each time that you sign in for it|" + orders +
				"|Know that you are you when you come back|Know your email address, " + john},
	} {
		if got := strings.Join(abilities(tt.client, tt.scope, tt.user), "|"); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tt.want)
		}
	}
	for _, scope := range []string{"offline_access", "email", "email stocks/read"} {
		query := h.authorizeQuery(h.agent())
		query.Set("scope", scope)
		wantRedirectError(h, scope, query, "invalid_scope")
	}
	query := h.authorizeQuery(h.agent())
	query.Set("scope", "openid")
	query.Set("resource", h.cfg.Issuer())
	if page := h.signInAs(h.newBrowser(), query, john); strings.Contains(page.Body, "and nowhere else") {
		t.Errorf("openid alone: %s", page.Body)
	}
}

// TestWarnings: whoever proves nothing comes with a warning, wherever the
// answer goes (D3, O17).
func TestWarnings(t *testing.T) {
	h := newHarness(t)
	self := store.Client{ID: "dcr-1", Name: "Claude", Registration: store.RegisteredDynamically, Assurance: clients.AssuranceNone}
	keyed, reviewed := self, self
	keyed.Assurance = clients.AssuranceKey
	reviewed.Registration = store.RegisteredByReview
	document := store.Client{ID: "https://a.example/c", Name: "Claude", Registration: store.RegisteredByDocument, Assurance: clients.AssuranceDomain}
	for name, tt := range map[string]struct {
		client         store.Client
		redirect, want string
	}{
		"a site":              {self, "https://evil.example/cb", "Whoever has the site evil.example gets the access."},
		"a site, with a key":  {keyed, "https://evil.example/cb", "Whoever has the site evil.example gets the access."},
		"an app":              {self, "com.evil.app:/cb", "Any app on this device can open such links"},
		"a document's app":    {document, "com.evil.app:/cb", "Any app on this device can open such links"},
		"this computer":       {self, "http://127.0.0.1:1234/cb", "Any program on this computer"},
		"a document's site":   {document, "https://a.example/cb", ""},
		"a reviewed site":     {reviewed, "https://a.example/cb", ""},
		"where nothing comes": {self, "", ""},
	} {
		v := h.viewOf(tt.client, tt.redirect)
		if got := strings.Join(v.Warnings, "|"); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		if strings.Contains(v.Trust, "proves with a key") != (tt.client.Assurance == clients.AssuranceKey) {
			t.Errorf("%s: %q", name, v.Trust)
		}
	}
	id := h.register(plus(agentMetadata(), "redirect_uris", []string{"https://evil.example/cb"}))
	query := h.authorizeQuery(id)
	query.Set("redirect_uri", "https://evil.example/cb")
	browser := h.newBrowser()
	page := h.follow(browser, h.get(browser, "/authorize?"+query.Encode()))
	for _, want := range []string{"Careful.", "evil.example", "Read the stock prices of your region", "(30 days) at the latest", "/account"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the sign-in page does not say %q: %s", want, page.Body)
		}
	}
}

// TestHostIsShownAsItIsLookedUp: no host of a client document can look like
// another (C2, D3).
func TestHostIsShownAsItIsLookedUp(t *testing.T) {
	h, host := newClientHost(t)
	for _, id := range []string{
		"https://ｃlient.demo.localhost:8443/oauth-client.json", "https://cli\u200bent.demo.localhost:8443/oauth-client.json",
		"https://client。demo.localhost:8443/oauth-client.json", "https://cli%E2%80%8Bent.demo.localhost:8443/oauth-client.json",
		"https://CLIENT.demo.localhost:8443/oauth-client.json", "https://client.demo.localhost:8443/é.json",
	} {
		host.serve(plus(h.document(), "client_id", id), "")
		if a := h.get(h.newBrowser(), "/authorize?"+h.authorizeQuery(id).Encode()); a.Status != http.StatusBadRequest {
			t.Errorf("%q: %d %s", id, a.Status, a.Header.Get("Location"))
		}
	}
	u, err := url.Parse(h.cfg.ClientDocument())
	if err != nil || h.viewOf(store.Client{ID: u.String(), Registration: store.RegisteredByDocument}, "").Badge != "Verified: "+u.Host {
		t.Errorf("%v", err)
	}
}

// TestUsedJustNow: the list of clients has uses that are not in the store yet.
func TestUsedJustNow(t *testing.T) {
	h := newHarness(t)
	access := h.tokens(h.agent(), john).JSON["access_token"].(string)
	boss := h.administrator()
	row := func() string {
		_, row, _ := strings.Cut(h.get(boss, h.adminURL("/admin/clients")).Body, "Test Agent")
		_, row, _ = strings.Cut(row, `data-label="Last used">`)
		used, _, _ := strings.Cut(row, "<br>")
		return used
	}
	if got := row(); got != "never" {
		t.Errorf("before: %q", got)
	}
	h.introspected(access)
	if got, want := row(), h.time().UTC().Format("2 Jan 2006, 15:04 MST"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
