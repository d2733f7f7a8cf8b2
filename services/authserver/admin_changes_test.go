package authserver

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/revocation"
)

// announced returns what the server announced as ended since it was called.
func (h *harness) announced() func() []revocation.Event {
	var heard []revocation.Event
	h.db.Announce(func(e revocation.Event) { heard = append(heard, e); h.revoked.Publish(e) })
	return func() []revocation.Event { return heard }
}

// TestAdministerUsers: an administrator suspends a user in the middle of a
// session, which ends all of it at once, and approving again brings none back
// (attack R6).
func TestAdministerUsers(t *testing.T) {
	h := newHarness(t)
	agent, browser := h.agent(), h.administrator()
	johnID := h.userID(john)
	his := h.newBrowser()
	h.decide(his, h.signInAs(his, h.authorizeQuery(agent), john), "allow")
	tokens := h.tokens(agent, john).JSON
	heard := h.announced()

	page := h.get(browser, h.adminURL("/admin/users/change?action=suspend&user="+johnID))
	for _, want := range []string{"Suspend this user?", john, "at once", "audit trail"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the confirmation lacks %q: %s", want, page.Body)
		}
	}
	if got := h.introspected(tokens["access_token"].(string)); got["active"] != true {
		t.Fatal("looking at the confirmation suspended already")
	}
	page = h.administer(browser, "/admin/users/change?action=suspend&user="+johnID)
	if !strings.Contains(page.Body, "The user is suspended.") {
		t.Errorf("after it: %s", page.Body)
	}
	if got := heard(); !slices.Contains(got, revocation.Event{Kind: revocation.User, ID: johnID}) {
		t.Errorf("announced: %v", got)
	}
	h.wantRecorded("suspend user", audit.Allowed, func(e trail.Entry) bool {
		return e.User == h.userID(boss) && e.Detail["user"] == johnID
	})
	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {tokens["refresh_token"].(string)}}
	over := func() {
		t.Helper()
		if got := h.introspected(tokens["access_token"].(string)); got["active"] != false {
			t.Errorf("the token is %v", got)
		}
		wantError(h, "refresh", h.post(h.newBrowser(), "/token", refresh), 400, "invalid_grant")
		if a := h.follow(his, h.get(his, "/account")); !strings.Contains(a.Body, `name="email"`) {
			t.Errorf("still signed in: %s", a.Body)
		}
	}
	over()

	page = h.administer(browser, "/admin/users/change?action=approve&user="+johnID)
	if !strings.Contains(page.Body, "The user may sign in.") {
		t.Errorf("after it: %s", page.Body)
	}
	over()

	access := h.tokens(agent, john).JSON["access_token"].(string)
	h.administer(browser, "/admin/users/change?action=region&user="+johnID+"&region=Asia")
	if _, claims := claimsOf(t, h.phantom(access)); claims["region"] != "Asia" {
		t.Errorf("region is %v", claims["region"])
	}
	h.wantRecorded("region user", audit.Allowed, func(e trail.Entry) bool { return e.Detail["from"] == "USA" && e.Detail["to"] == "Asia" })

	pending := h.userID("pending.user@demo.example")
	h.administer(browser, "/admin/users/change?action=approve&user="+pending)
	h.tokens(agent, "pending.user@demo.example") // can sign in now

	for name, tt := range map[string]struct {
		address string
		status  int
	}{
		"themselves":     {"/admin/users/change?action=suspend&user=" + h.userID(boss), http.StatusConflict},
		"where they are": {"/admin/users/change?action=region&region=Asia&user=" + johnID, http.StatusConflict},
		"no region":      {"/admin/users/change?action=region&region=Mars&user=" + johnID, http.StatusBadRequest},
		"no action":      {"/admin/users/change?user=" + johnID, http.StatusBadRequest},
		"nobody":         {"/admin/users/change?action=suspend&user=nobody", http.StatusNotFound},
		"two of them":    {"/admin/users/change?action=suspend&user=" + johnID + "&user=" + pending, http.StatusBadRequest},
	} {
		if a := h.get(browser, h.adminURL(tt.address)); a.Status != tt.status {
			t.Errorf("%s: %d, want %d: %s", name, a.Status, tt.status, a.Body)
		}
	}
	if err := h.login.Suspend(t.Context(), johnID, johnID); err == nil {
		t.Error("the use case lets users suspend themselves")
	}
}

// TestAdministerClients: a suspended client gets nothing any more, whatever way
// it takes, until it is let in again; a deleted one is gone.
func TestAdministerClients(t *testing.T) {
	h := newHarness(t)
	agent, browser := h.agent(), h.administrator()
	tokens := h.tokens(agent, john).JSON
	access := tokens["access_token"].(string)
	waiting := h.newBrowser()
	consent := h.signInAs(waiting, h.authorizeQuery(agent), jane)
	heard := h.announced()

	if page := h.get(browser, h.adminURL("/admin/clients")); !strings.Contains(page.Body, "“Test Agent”") || !strings.Contains(page.Body, "Nightly stocks report") ||
		!strings.Contains(page.Body, "1 grant<") {
		t.Errorf("the list: %s", page.Body)
	}
	page := h.administer(browser, "/admin/clients/change?action=suspend&client="+agent)
	if !strings.Contains(page.Body, "The client is suspended.") || !strings.Contains(page.Body, `bad">suspended`) {
		t.Errorf("after it: %s", page.Body)
	}
	if got := heard(); !slices.Contains(got, revocation.Event{Kind: revocation.Client, ID: agent}) {
		t.Errorf("announced: %v", got)
	}
	h.wantRecorded("suspend client", audit.Allowed, func(e trail.Entry) bool { return e.Client == agent })
	if got := h.introspected(access); got["active"] != false {
		t.Errorf("the token is %v", got)
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {tokens["refresh_token"].(string)}}
	wantError(h, "refresh", h.post(h.newBrowser(), "/token", refresh), 401, "invalid_client")
	form := fields(consent)
	form.Set("decision", "allow")
	if a := h.post(waiting, "/consent", form); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
		t.Errorf("consent that was open: %d %s", a.Status, a.Header.Get("Location"))
	}
	again := h.newBrowser()
	if a := h.get(again, "/authorize?"+h.authorizeQuery(agent).Encode()); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "This application is suspended") {
		t.Errorf("a new request: %d %s", a.Status, a.Body)
	}
	// A server that starts anew knows it still.
	s, err := newServer(t.Context(), h.cfg, h.db, h.mail, h.time, h.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.trail.Close(); err != nil || !s.clients.IsSuspended(agent) {
		t.Errorf("forgotten after a restart, %v", err)
	}

	h.administer(browser, "/admin/clients/change?action=restore&client="+agent)
	if got := h.introspected(access); got["active"] != false {
		t.Errorf("letting it in again brought the token back: %v", got)
	}
	access = h.tokens(agent, john).JSON["access_token"].(string)
	h.administer(browser, "/admin/clients/change?action=delete&client="+agent)
	if got := h.introspected(access); got["active"] != false {
		t.Errorf("deleted, and the token is %v", got)
	}
	if a := h.get(browser, h.adminURL("/admin/clients/change?action=delete&client="+agent)); a.Status != http.StatusNotFound {
		t.Errorf("deleted twice: %d", a.Status)
	}

	h.administer(browser, "/admin/clients/change?action=suspend&client=stocks-report")
	own := url.Values{"grant_type": {"client_credentials"}}
	wantError(h, "a reviewed client", h.post(h.newBrowser(), "/token", own, basic("stocks-report")...), 401, "invalid_client")
	h.administer(browser, "/admin/clients/change?action=restore&client=stocks-report")
	if a := h.post(h.newBrowser(), "/token", own, basic("stocks-report")...); a.Status != http.StatusOK {
		t.Errorf("let in again: %d %s", a.Status, a.Body)
	}
	for _, id := range []string{"gateway", "stocksmcp", "stocksapi", clients.Administration} {
		for _, action := range []string{"suspend", "delete"} {
			if a := h.get(browser, h.adminURL("/admin/clients/change?action="+action+"&client="+id)); a.Status != http.StatusConflict {
				t.Errorf("%s %s: %d", action, id, a.Status)
			}
		}
		if err := h.clients.Suspend(t.Context(), id); err == nil {
			t.Errorf("the use case suspends %s", id)
		}
	}
}

// TestAdministerDocumentClients: a client that a document describes stays out
// while it is suspended, without its document being fetched.
func TestAdministerDocumentClients(t *testing.T) {
	h := newHarness(t)
	browser := h.administrator()
	const id = "https://agent.example/client.json"
	c := store.Client{ID: id, Registration: store.RegisteredByDocument, Name: "Agent", Type: "mcp", Assurance: 2, AuthMethod: "none", CreatedAt: h.time()}
	if err := h.clients.Remember(t.Context(), c, h.time()); err != nil {
		t.Fatal(err)
	}
	address := "&client=" + url.QueryEscape(id)
	if page := h.get(browser, h.adminURL("/admin/clients/change?action=delete"+address)); !strings.Contains(page.Body, "it is back as soon as") {
		t.Errorf("deleting: %s", page.Body)
	}
	h.administer(browser, "/admin/clients/change?action=suspend"+address)
	if a := h.get(h.newBrowser(), "/authorize?"+h.authorizeQuery(id).Encode()); !strings.Contains(a.Body, "This application is suspended") {
		t.Errorf("a new request: %d %s", a.Status, a.Body)
	}
	if a := h.get(browser, h.adminURL("/admin/clients/change?action=delete"+address)); a.Status != http.StatusConflict {
		t.Errorf("deleting a suspended one: %d", a.Status)
	}
	if err := h.db.Expire(t.Context(), h.time().Add(365*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if page := h.get(browser, h.adminURL("/admin/clients")); page.Status != http.StatusSeeOther && !strings.Contains(page.Body, id) {
		t.Errorf("it is not to be seen any more: %s", page.Body)
	}
}

// TestAdministerGrants: tokens are named by fingerprints, and end one by one or
// all together.
func TestAdministerGrants(t *testing.T) {
	h := newHarness(t)
	agent, browser := h.agent(), h.administrator()
	tokens := h.tokens(agent, john).JSON
	access, refresh := tokens["access_token"].(string), tokens["refresh_token"].(string)
	hers := h.tokens(agent, jane).JSON["access_token"].(string)
	live, err := h.db.LiveGrants(t.Context(), h.userID(john), "", "", h.time(), 10)
	if err != nil || len(live) != 1 {
		t.Fatalf("%d grants, %v", len(live), err)
	}
	grant := live[0].ID

	list := h.get(browser, h.adminURL("/admin/grants"))
	own := h.get(browser, h.adminURL("/admin/grants?user="+h.userID(john)))
	if !strings.Contains(list.Body, john) || !strings.Contains(list.Body, jane) || strings.Contains(own.Body, jane) || !strings.Contains(own.Body, "“Test Agent”") {
		t.Errorf("the lists: %s\n%s", list.Body, own.Body)
	}
	page := h.get(browser, h.adminURL("/admin/grants/grant?grant="+grant))
	for _, secret := range []string{access, refresh} {
		if strings.Contains(page.Body, secret) {
			t.Error("the page shows a token")
		}
		hash := store.HashOf(secret)
		if want := hex.EncodeToString(hash[:8]); !strings.Contains(page.Body, want) {
			t.Errorf("no fingerprint %s: %s", want, page.Body)
		}
	}
	token, err := h.db.Token(t.Context(), store.HashOf(access))
	if err != nil {
		t.Fatal(err)
	}
	page = h.administer(browser, "/admin/grants/change?action=revoke+token&grant="+grant+"&token="+token.ID)
	if !strings.Contains(page.Body, "The token was revoked.") || h.introspected(access)["active"] != false {
		t.Errorf("after it: %s", page.Body)
	}
	h.wantRecorded("revoke token", audit.Allowed, func(e trail.Entry) bool { return e.Token == token.ID && e.Grant == grant })
	renew := url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {refresh}}
	if a := h.post(h.newBrowser(), "/token", renew); a.Status != http.StatusOK {
		t.Errorf("the refresh token ended as well: %d", a.Status)
	} else {
		access = a.JSON["access_token"].(string)
	}
	h.administer(browser, "/admin/grants/change?action=revoke&grant="+grant)
	if h.introspected(access)["active"] != false || h.introspected(hers)["active"] != true {
		t.Error("not exactly the one access ended")
	}
	h.wantRecorded("revoke grant", audit.Allowed, func(e trail.Entry) bool { return e.Grant == grant && e.Detail["user"] == h.userID(john) })
	for _, address := range []string{"/admin/grants/grant?grant=none", "/admin/grants/change?action=revoke&grant=none", "/admin/grants/change?action=revoke+token&token=none&grant=" + grant} {
		if a := h.get(browser, h.adminURL(address)); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", address, a.Status)
		}
	}
}

// TestAdministerKeys: a key that signs cannot be retired; one that another has
// followed can, and what it signed is signed anew.
func TestAdministerKeys(t *testing.T) {
	h := newHarness(t)
	agent, browser := h.agent(), h.administrator()
	first := h.keys.List()[0].ID
	page := h.administer(browser, "/admin/keys/change?action=rotate")
	if !strings.Contains(page.Body, "A new key is published.") || len(h.keys.List()) != 2 || strings.Contains(page.Body, "action=rotate") {
		t.Errorf("after it: %s", page.Body)
	}
	h.wantRecorded("rotate keys", audit.Allowed, anyEntry)
	for _, k := range h.keys.List() {
		if a := h.get(browser, h.adminURL("/admin/keys/change?action=retire&key="+k.ID)); a.Status != http.StatusConflict {
			t.Errorf("retire the key that is %s: %d", k.State, a.Status)
		}
	}
	access := h.tokens(agent, john).JSON["access_token"].(string)
	before, _ := claimsOf(t, h.phantom(access))
	h.wait(keys.PublishAhead)
	page = h.get(browser, h.adminURL("/admin/keys/change?action=retire&key="+first))
	if !strings.Contains(page.Body, "still in use") {
		t.Errorf("no warning: %s", page.Body)
	}
	page = h.administer(browser, "/admin/keys/change?action=retire&key="+first)
	if !strings.Contains(page.Body, "in "+fmt.Sprintf("%.0f minutes at most", keys.CacheFor.Minutes())) { // not at once
		t.Errorf("after it: %s", page.Body)
	}
	h.wantRecorded("retire key", audit.Allowed, func(e trail.Entry) bool { return e.Detail["key"] == first })
	after, _ := claimsOf(t, h.phantom(access))
	if before["kid"] != first || after["kid"] == first || strings.Contains(string(h.keys.JWKS()), first) {
		t.Errorf("signed by %v, then by %v", before["kid"], after["kid"])
	}
}
