package authserver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/authserver/store/sqlite"
)

// suspending is a store in which a user is suspended as soon as they have
// decided: all that was checked before held.
type suspending struct {
	*sqlite.DB
	user string
}

func (s suspending) TakeRequest(ctx context.Context, id string, browser store.Hash, now time.Time) (store.Request, error) {
	if err := s.SuspendUser(ctx, s.user); err != nil {
		return store.Request{}, err
	}
	return s.DB.TakeRequest(ctx, id, browser, now)
}

func (s suspending) SignIn(ctx context.Context, requestID, userID string, authTime time.Time) error {
	if err := s.SuspendUser(ctx, s.user); err != nil {
		return err
	}
	return s.DB.SignIn(ctx, requestID, userID, authTime)
}

// TestSuspendedMeanwhile: what a user is given in the moment in which they are
// suspended is not given, so that approving them again brings none of it back
// (attack R6).
func TestSuspendedMeanwhile(t *testing.T) {
	h := newHarness(t)
	agent, console, user := h.agent(), h.console(), h.userID(john)
	approved := func() {
		t.Helper()
		if err := h.login.Approve(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("code", func(t *testing.T) {
		browser := h.newBrowser()
		form := fields(h.signInAs(browser, h.authorizeQuery(agent), john))
		form.Set("decision", "allow")
		h.grants.Store = suspending{h.db, user}
		a := h.post(browser, "/consent", form)
		h.grants.Store = h.db
		if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("%d, Location %q", a.Status, a.Header.Get("Location"))
		}
		approved()
	})
	t.Run("device", func(t *testing.T) {
		start, browser := h.startDevice(console), h.newBrowser()
		page := h.typeAndSignIn(browser, start.JSON["user_code"].(string))
		h.grants.Store = suspending{h.db, user}
		a := h.decideForDevice(browser, page, "allow")
		h.grants.Store = h.db
		if a.Status != http.StatusBadRequest {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		approved()
		wantError(h, "poll", h.poll(console, start), 400, "authorization_pending")
	})
	t.Run("session", func(t *testing.T) {
		browser := h.newBrowser()
		form := fields(h.follow(browser, h.get(browser, "/account")))
		form.Set("email", john)
		form = fields(h.follow(browser, h.post(browser, "/signin", form)))
		form.Set("passcode", h.mail.passcode(john))
		h.login.Store = suspending{h.db, user}
		a := h.post(browser, "/passcode", form)
		h.login.Store = h.db
		if a.Status != http.StatusForbidden || !strings.Contains(a.Body, "You may not sign in") {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		approved()
		if a := h.get(browser, "/account"); a.Status != http.StatusSeeOther {
			t.Errorf("signed in after all: %d", a.Status)
		}
	})
	if n := h.count("SELECT (SELECT COUNT(*) FROM grants) + (SELECT COUNT(*) FROM sessions)"); n != 0 {
		t.Errorf("%d grants and sessions", n)
	}
}

// TestSuspendedClientManages: a client that is suspended can do nothing with its
// registration, whatever its token (D8), is told why, and stays where
// administrators see it; deleted by one it is gone, and so is its suspension.
func TestSuspendedClientManages(t *testing.T) {
	h := newHarness(t)
	registered := h.registerRaw(agentMetadata()).JSON
	id, token := registered["client_id"].(string), registered["registration_access_token"].(string)
	browser := h.administrator()
	address := func(action string) string {
		return fmt.Sprintf("/admin/clients/change?action=%s&client=%s", action, url.QueryEscape(id))
	}
	h.administer(browser, address("suspend"))
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		a := h.manage(method, id, token, plus(agentMetadata(), "client_id", id, "client_name", "Something nice"))
		wantError(h, method, a, http.StatusForbidden, "access_denied") // RFC 7592 §2.1 to §2.3
		if a := h.manage(method, id, token+"x", nil); a.Status != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: %d %s", method, a.Status, a.Body)
		}
	}
	if page := h.get(browser, h.adminURL("/admin/clients")); !strings.Contains(page.Body, "“Test Agent”") || !strings.Contains(page.Body, `bad">suspended`) {
		t.Errorf("the list: %s", page.Body)
	}
	h.administer(browser, address("restore"))
	if a := h.manage(http.MethodGet, id, token, nil); a.Status != http.StatusOK || a.JSON["client_name"] != "Test Agent" {
		t.Errorf("let in again: %d %s", a.Status, a.Body)
	}

	h.administer(browser, address("suspend"))
	h.administer(browser, address("delete"))
	if ids, err := h.db.SuspendedClients(t.Context()); err != nil || len(ids) != 0 || h.clients.IsSuspended(id) {
		t.Errorf("suspended: %v, %v", ids, err)
	}
	if a := h.manage(http.MethodGet, id, token, nil); a.Status != http.StatusUnauthorized {
		t.Errorf("deleted: %d", a.Status)
	}

	// Suspended when it has just deleted itself.
	if err := h.clients.Suspend(t.Context(), id); err == nil || h.clients.IsSuspended(id) {
		t.Errorf("a client that is gone was suspended, %v", err)
	}
	if n := h.count("SELECT COUNT(*) FROM suspended_clients"); n != 0 {
		t.Errorf("%d suspensions that nobody can see", n)
	}
}
