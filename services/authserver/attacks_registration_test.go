package authserver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Section D of docs/security.md: what strangers may do by registering.
// Here are the attacks on /register. D8 is in manage_test.go, and those by
// client documents (D9 to D18) are in attacks_document_test.go and
// clienthost_test.go.

// TestHostileRedirects: attacks D1 and D2.
func TestHostileRedirects(t *testing.T) {
	h := newHarness(t)
	refused := map[string][]string{
		"D1": {
			"javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", " data:text/html,x", "data:text/html,x", "vbscript:x", "blob:https://a.example/x", "file:///etc/passwd",
			"java\tscript:alert(1)", "java\x00script:alert(1)", "\x01javascript:alert(1)", "javascript://a.example/%0aalert(1)", "about:blank", "view-source:https://a.example",
			"filesystem:https://a.example/x", "intent://x#Intent;end", "ws://a.example/", "ftp://a.example/", "mailto:a@a.example", "x:y", "",
		},
		"D2": {
			"http://app.example/cb", "http://127.0.0.2/cb", "http://127.0.0.1.evil.example/cb", "http://localhost.evil.example/cb", "http://127.9.9.9/cb", "http://0.0.0.0/cb", "http://10.0.0.1/cb",
			"https://*.example/cb", "https://app.example/*", "https://app.example/cb#x", "https://app.example/cb#", "https://u@app.example/cb", "https://u:p@app.example/cb",
			"https://", "https:///cb", "https:cb", "//app.example/cb", "/cb", "https://app.example/" + strings.Repeat("x", 2048), "https://app.example/a b", "https://app.example\\@evil.example/",
			"https://app.example/é", "http://localhost:123456/cb", "http://[::1/cb", "http://u@localhost/cb",
		},
	}
	for id, uris := range refused {
		for _, uri := range uris {
			for _, uris := range [][]string{{uri}, {callback, uri}} {
				a := h.registerRaw(plus(agentMetadata(), "redirect_uris", uris))
				wantError(h, fmt.Sprintf("%s %q", id, uri), a, 400, "invalid_redirect_uri")
				if a.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s %q may be stored", id, uri)
				}
			}
		}
	}
	many := make([]string, 11)
	for i := range many {
		many[i] = fmt.Sprintf("https://app.example/%d", i)
	}
	wantError(h, "D2 eleven", h.registerRaw(plus(agentMetadata(), "redirect_uris", many)), 400, "invalid_redirect_uri")
	wantError(h, "D2 none", h.registerRaw(plus(agentMetadata(), "redirect_uris", []string{})), 400, "invalid_redirect_uri")
	wantError(h, "D2 large", h.registerRaw(plus(agentMetadata(), "client_name", strings.Repeat("x", 70<<10))), 400, "invalid_request")
	for _, uri := range []string{"https://app.example/cb?x=1", "http://127.0.0.1/cb", "http://[::1]:1/cb", "http://localhost/", "com.example.app:/cb", "cursor://x/cb"} {
		if a := h.registerRaw(plus(agentMetadata(), "redirect_uris", []string{uri})); a.Status != http.StatusCreated {
			t.Errorf("%q: %d %s", uri, a.Status, a.Body)
		}
	}
	if strings.Contains(h.dump(), "evil.example") {
		t.Error("a refused registration left something behind")
	}
}

// TestHostileMetadata: attack D3, the rest of what a client says. (Names are
// in TestHostileName.)
func TestHostileMetadata(t *testing.T) {
	h := newHarness(t)
	for _, uri := range []string{"javascript:alert(1)", "http://a.example", `https://a.example/"onerror="x`, "https://a.example/ onerror=x", "https://a.example/<script>x", "data:text/html,x", "https://u@a.example/"} {
		a := h.registerRaw(plus(agentMetadata(), "client_uri", uri))
		if a.Status == http.StatusCreated { // then it has to be inert
			browser := h.newBrowser()
			page := h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(a.JSON["client_id"].(string)).Encode()))
			if strings.Contains(page.Body, "a.example") {
				t.Errorf("D3 client_uri %q is on the page", uri)
			}
		} else {
			wantError(h, "D3 client_uri "+uri, a, 400, "invalid_client_metadata")
		}
	}
	id := h.register(plus(agentMetadata(), "client_name", `<img src=x onerror=alert(1)>`, "logo_uri", "https://evil.example/logo.svg", "tos_uri", "javascript:alert(1)",
		"policy_uri", "https://evil.example/policy", "contacts", []string{"<script>alert(1)</script>"}, "software_statement", "x.y.z"))
	page := h.signInAs(h.newBrowser(), h.authorizeQuery(id), john)
	if strings.Contains(page.Body, "evil.example") || strings.Contains(page.Body, "<img") || strings.Contains(page.Body, "<script") || strings.Contains(page.Body, "javascript:") {
		t.Errorf("D3 what the client wrote is live: %s", page.Body)
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "img-src") || strings.Contains(csp, "script-src") {
		t.Errorf("D3 policy %q", csp)
	}
	// What is not kept is not given back either.
	a := h.registerRaw(plus(agentMetadata(), "logo_uri", "javascript:alert(1)", "tos_uri", "https://evil.example/", "policy_uri", "https://evil.example/"))
	if a.Status != http.StatusCreated || strings.Contains(a.Body, "evil") || strings.Contains(a.Body, "javascript") {
		t.Errorf("D3 other addresses: %d %s", a.Status, a.Body)
	}
	wantError(h, "D3 a name of 101 characters", h.registerRaw(plus(agentMetadata(), "client_name", strings.Repeat("é", 101))), 400, "invalid_client_metadata")
}

// TestRegistrationRaisesNothing: attacks D5 and D6.
func TestRegistrationRaisesNothing(t *testing.T) {
	h := newHarness(t)
	victim := h.agent()
	a := h.registerRaw(plus(agentMetadata(), "client_id", victim, "client_secret", "chosen", "client_type", "web", "client_assurance_level", 3, "region", "Asia",
		"scope", "stocks/read admin", "grant_types", []string{"authorization_code", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"},
		"first_party", true, "remember_consent", true, "Remember", true, "Assurance", 3, "Registration", "preset", "resources", []string{h.cfg.APIResource()}, "ID", "gateway", "client_name", "Thief"))
	if a.Status != http.StatusCreated {
		t.Fatalf("register: %d %s", a.Status, a.Body)
	}
	id := a.JSON["client_id"].(string)
	if id == victim || strings.HasPrefix(id, "https://") || !regexp.MustCompile(`^dcr-[a-z2-7]{26}$`).MatchString(id) {
		t.Errorf("D6 client_id %q", id)
	}
	if a.JSON["scope"] != "stocks/read" || fmt.Sprint(a.JSON["grant_types"]) != "[authorization_code]" || a.JSON["client_secret"] != nil {
		t.Errorf("D5 registered as %s", a.Body)
	}
	got := h.introspected(h.tokens(id, john).JSON["access_token"].(string))
	if got["client_type"] != "mcp" || got["client_assurance_level"] != 1.0 || got["region"] != "USA" || got["scope"] != "stocks/read" || got["aud"] != h.cfg.MCPResource() {
		t.Errorf("D5 claims: %v", got)
	}
	// It is asked about each time, and may not do what it listed.
	browser := h.newBrowser()
	h.decide(browser, h.signInAs(browser, h.authorizeQuery(id), john), "allow")
	if page := h.signInAs(browser, h.authorizeQuery(id), john); !strings.Contains(page.Body, "Allow access?") {
		t.Error("D5 it got access without being asked about")
	}
	if a := h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {id}, "subject_token": {"x"}, "subject_token_type": {"x"}}); a.JSON["error"] == nil || a.JSON["access_token"] != nil {
		t.Errorf("D5 token exchange: %d %s", a.Status, a.Body)
	}
	if a := h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}}); a.JSON["error"] == nil || a.JSON["access_token"] != nil {
		t.Errorf("D5 client credentials: %d %s", a.Status, a.Body)
	}
	wantError(h, "D5 only what is not offered", h.registerRaw(plus(agentMetadata(), "grant_types", []string{"client_credentials"})), 400, "invalid_client_metadata")
	// D6: the victim's registration is as it was.
	if page := h.signInAs(h.newBrowser(), h.authorizeQuery(victim), john); strings.Contains(page.Body, "Thief") || !strings.Contains(page.Body, "Test Agent") {
		t.Error("D6 a registration overwrote another")
	}
	preset := h.registerRaw(plus(agentMetadata(), "client_id", "gateway", "region", "Europe"))
	c, err := h.clients.Find(t.Context(), "gateway")
	if preset.Status != http.StatusCreated || preset.JSON["client_id"] == "gateway" || err != nil || c.Name != "API gateway" {
		t.Errorf("D6 the gateway is now %+v, %v", c, err)
	}
	wantError(h, "D6 JSON in another shape", h.do(h.newBrowser(), h.request(http.MethodPost, "/register", "[]", "Content-Type", "application/json")), 400, "invalid_client_metadata")
	wantError(h, "D6 not JSON", h.do(h.newBrowser(), h.request(http.MethodPost, "/register", "client_name=x", "Content-Type", "application/x-www-form-urlencoded")), 400, "invalid_request")
}

// TestRegistrationFlood: attack D7.
func TestRegistrationFlood(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.RegistrationsPerIP, c.RegistrationsTotal = 100, 400 })
	browser := h.newBrowser()
	agent := h.agent()
	page := h.signInAs(browser, h.authorizeQuery(agent), john) // a flow in the middle
	handler := h.routes()
	register := func(ip string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/register", strings.NewReader(`{"redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none"}`))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = ip + ":1"
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	flood := func(n int, ip func(i int) string) (created int) {
		for i := range n {
			switch w := register(ip(i)); w.Code {
			case http.StatusCreated:
				created++
			case http.StatusTooManyRequests:
				if w.Header().Get("Retry-After") == "" {
					t.Fatal("D7 429 without Retry-After")
				}
			default:
				t.Fatalf("D7 registration %d: %d %s", i, w.Code, w.Body)
			}
		}
		return created
	}
	rows := func() int {
		return h.count("SELECT COUNT(*) FROM clients JOIN registrations ON client_id = id WHERE used = 0")
	}
	if got := flood(5000, func(int) string { return "192.0.2.1" }); got != 100 {
		t.Errorf("D7 %d registrations of one address, want 100", got)
	}
	if got := flood(5000, func(i int) string { return fmt.Sprintf("198.51.%d.%d", i/250, i%250) }); got != 299 { // one is the agent's
		t.Errorf("D7 %d registrations of other addresses, want 299", got)
	}
	if a := h.registerRaw(agentMetadata()); a.Status != http.StatusTooManyRequests {
		t.Errorf("D7 anybody, over the limit of all: %d", a.Status)
	}
	// What goes on meanwhile is not affected.
	tokens := h.post(h.newBrowser(), "/token", redeemForm(agent, h.decide(browser, page, "allow").Get("code")))
	if tokens.Status != http.StatusOK {
		t.Errorf("D7 a flow in the middle: %d %s", tokens.Status, tokens.Body)
	}
	// Hours of it: rows stay bounded, what is used stays.
	for range 3 {
		h.wait(time.Hour)
		flood(400, func(i int) string { return fmt.Sprintf("203.0.113.%d", i%200) })
	}
	if got := rows(); got < 800 || got >= 864 {
		t.Errorf("D7 %d unused registrations are kept, want 800 and less than 64 more", got)
	}
	if h.authorizeAs(agent).Status != http.StatusSeeOther {
		t.Error("D7 a client that is used went")
	}
	h.wait(25 * time.Hour)
	if err := h.db.Expire(t.Context(), h.time()); err != nil {
		t.Fatal(err)
	}
	if got := rows(); got != 0 {
		t.Errorf("D7 %d unused registrations after a day, want none", got)
	}
	// One household of IPv6 is one network.
	h.wait(time.Hour)
	if got := flood(200, func(i int) string { return fmt.Sprintf("[2001:db8:1:2::%x]", i) }); got != 100 {
		t.Errorf("D7 %d registrations of one IPv6 network, want 100", got)
	}
}
