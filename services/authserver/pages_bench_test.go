package authserver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// BenchmarkPages is what the pages with lists cost where there is much to
// list: hundreds of users, clients and grants, and 100,000 events. Each page
// is asked for by whoever is signed in, without a network.
func BenchmarkPages(b *testing.B) {
	h := newHarness(b)
	boss, user := h.administrator(), h.newBrowser()
	h.fillPages(400, 100_000)
	h.signInAs(user, h.authorizeQuery(h.agent()), john)
	handler, err := h.handler()
	if err != nil {
		b.Fatal(err)
	}
	for _, page := range []struct {
		name    string
		browser *http.Client
		address string
	}{
		{"overview", boss, h.adminURL("/admin")},
		{"users", boss, h.adminURL("/admin/users")},
		{"clients", boss, h.adminURL("/admin/clients")},
		{"grants", boss, h.adminURL("/admin/grants")},
		{"grant", boss, h.adminURL("/admin/grants/grant?grant=GRANT000000000000000000001")},
		{"keys", boss, h.adminURL("/admin/keys")},
		{"limits", boss, h.adminURL("/admin/limits")},
		{"policy", boss, h.adminURL("/admin/policy")},
		{"audit", boss, h.adminURL("/admin/audit")},
		{"filtered", boss, h.adminURL("/admin/audit?kind=tool.call&user=" + john)},
		{"story", boss, h.adminURL("/admin/audit/story?request=request-10")},
		{"account", user, h.url("/account")},
	} {
		req := h.request(http.MethodGet, page.address, "")
		for _, cookie := range page.browser.Jar.Cookies(req.URL) {
			req.AddCookie(cookie)
		}
		req.RequestURI = req.URL.RequestURI()
		b.Run(page.name, func(b *testing.B) {
			b.ReportAllocs()
			size, spent := 0, processorTime()
			for b.Loop() {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, req)
				if size = w.Body.Len(); w.Code != http.StatusOK {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			b.ReportMetric(micros(processorTime()-spent)/float64(b.N), "µs-CPU/page")
			b.ReportMetric(float64(size), "B/page")
		})
	}
}

// fillPages stores so many users, and as many clients, each with a grant of
// its own. A quarter of the grants are john's. The events are calls of tools,
// by all of them in turn, as the services report them.
func (h *harness) fillPages(each, events int) {
	h.Helper()
	now := h.time()
	do := func(err error) {
		if err != nil {
			h.Fatal(err)
		}
	}
	trail := make([]audit.Event, events)
	users, agents := make([]string, each), make([]string, each)
	for i := range each {
		u := store.User{ID: fmt.Sprintf("USER%022d", i), Email: fmt.Sprintf("user%03d@demo.example", i), Region: "USA", Role: "user", Status: store.UserApproved}
		do(h.db.AddUser(h.Context(), u))
		if users[i] = u.ID; i%4 == 0 {
			users[i] = h.userID(john)
		}
		c := store.Client{
			ID: fmt.Sprintf("CLIENT%020d", i), Registration: store.RegisteredDynamically, Name: fmt.Sprintf("Night watch %d", i),
			RedirectURIs: []string{callback}, GrantTypes: []string{"authorization_code", "refresh_token"}, AuthMethod: clients.AuthNone,
			Scope: "stocks/read stocks/trade openid email offline_access", Resources: []string{h.cfg.MCPResource()},
			Type: clients.TypeMCP, Assurance: clients.AssuranceNone, CreatedAt: now,
		}
		do(h.db.AddRegistration(h.Context(), c, store.HashOf(c.ID), now.Add(time.Hour), 2*each))
		agents[i] = c.ID
		g := store.Grant{
			ID: fmt.Sprintf("GRANT%021d", i), UserID: users[i], ClientID: c.ID, Resource: h.cfg.MCPResource(), Scope: "stocks/read",
			AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
		}
		do(h.db.AddGrant(h.Context(), g, store.Code{Hash: store.HashOf(g.ID), GrantID: g.ID, ClientID: c.ID, ExpiresAt: now.Add(time.Minute)}))
		do(h.db.AddTokens(h.Context(), store.Token{
			Hash: store.HashOf("token of " + g.ID), ID: "T" + g.ID, Kind: store.AccessToken, GrantID: g.ID, Scope: g.Scope, IssuedAt: now, ExpiresAt: g.ExpiresAt,
		}))
	}
	for i := range trail {
		n := i % each
		trail[i] = audit.Event{
			ID: fmt.Sprintf("EVENT%021d", i), Time: now.Add(time.Duration(i-events) * time.Millisecond), Service: "stocksmcp", Kind: audit.ToolCall, Decision: audit.Allowed,
			Request: fmt.Sprintf("request-%d", i), Grant: fmt.Sprintf("GRANT%021d", n), Token: fmt.Sprintf("TGRANT%021d", n), User: users[n], Client: agents[n],
			Audience: h.cfg.MCPResource(), Scope: "stocks/read", Detail: map[string]string{"tool": "fetch-stock-prices", "region": "USA"},
		}
		if i%100 == 0 {
			trail[i].Decision, trail[i].Reason = audit.Refused, "insufficient_scope"
		}
	}
	for batch := range slices.Chunk(trail, 1000) {
		do(h.trail.Append(h.Context(), batch...))
	}
}
