package authserver

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/login"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/audit"
)

// administers reports whether a browser is signed in to the administration.
func (h *harness) administers(browser *http.Client) bool {
	h.Helper()
	return h.get(browser, h.adminURL("/admin/users")).Status == http.StatusOK
}

// leaveAlone ends the sessions of the administration that a user has, for they
// were not used. (Signing in anew is checked against the real time, by a library,
// so the clock cannot be moved for it.)
func (h *harness) leaveAlone(email string) {
	h.Helper()
	h.tamper("UPDATE admin_sessions SET last_seen = last_seen - ? WHERE user_id = ?", login.AdminIdle.Milliseconds(), h.userID(email))
}

// TestAdministrationIsSeenAndEnded: an administrator sees their sessions of the
// administration on their account page, and ends them there with all others, or
// by signing out where they signed in (O12). Another administrator's go on.
func TestAdministrationIsSeenAndEnded(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.UsersFile = usersFile(t, `[{"email":"admin@demo.example","region":"USA","role":"admin","status":"approved"},
			{"email":"jane.test@demo.example","region":"USA","role":"admin","status":"approved"},
			{"email":"john.doe@demo.example","region":"USA","role":"user","status":"approved"}]`)
	})
	agent, hers := h.agent(), h.newBrowser()
	if a := h.open(hers, "/admin", jane); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	signedIn := func(email string) *http.Client {
		browser := h.newBrowser()
		h.signInAs(browser, h.authorizeQuery(agent), email)
		return browser
	}
	for name, end := range map[string]func(own, stolen *http.Client){
		"everywhere else": func(own, _ *http.Client) { h.change(own, "sign out others", "") },
		"sign out":        func(own, _ *http.Client) { h.post(own, "/signout", fields(h.get(own, "/signout"))) },
		"a client's logout": func(own, _ *http.Client) {
			h.get(own, "/logout?"+url.Values{"id_token_hint": {h.idToken(agent, boss)}}.Encode())
		},
		"where the administration signed in": func(_, stolen *http.Client) {
			h.post(stolen, "/signout", fields(h.get(stolen, "/signout")))
		},
	} {
		stolen, own := h.administrator(), signedIn(boss)
		account := h.get(own, "/account").Body
		if strings.Count(account, "<strong>the administration</strong>") != 1 || !strings.Contains(account, "Sign out everywhere else") {
			t.Errorf("the account page has no session of the administration: %s", account)
		}
		if page := h.get(stolen, h.adminURL("/admin/users")).Body; strings.Count(page, "in the administration") != 2 {
			t.Errorf("the list of users: %s", page)
		}
		end(own, stolen)
		if h.administers(stolen) || !h.administers(hers) {
			t.Errorf("%s: the administrator's own %v, another's %v", name, h.administers(stolen), h.administers(hers))
		}
		if page := h.get(hers, h.adminURL("/admin/users")).Body; strings.Count(page, "in the administration") != 1 {
			t.Errorf("%s: the list of users: %s", name, page)
		}
	}

	// The sign-in is over, the administration was in use all the while.
	for _, path := range []string{"/signout", "/logout"} {
		stolen := h.administrator()
		h.tamper("UPDATE sessions SET last_seen = last_seen - ? WHERE user_id = ?", (2 * time.Hour).Milliseconds(), h.userID(boss))
		page := h.get(stolen, path)
		if !strings.Contains(page.Body, "signed in to the administration") || strings.Contains(page.Body, boss) {
			t.Errorf("%s when the sign-in is over: %s", path, page.Body)
		}
		h.trail.Flush()
		before := h.trail.Head().Seq
		if page = h.follow(stolen, h.post(stolen, "/signout", fields(page))); !strings.Contains(page.Body, "You are signed out") || h.administers(stolen) {
			t.Errorf("%s: signed out: %v, %s", path, !h.administers(stolen), page.Body)
		}
		if found := h.trailOf(trail.Filter{User: h.userID(boss), Kind: audit.SignOut}); len(found) == 0 || found[len(found)-1].Seq <= before {
			t.Errorf("%s: the trail has %+v", path, found)
		}
	}

	// To sign in anew is not to sign out, and what is over is not shown.
	browser := h.administrator()
	other := h.administrator()
	again := h.authorizeQuery(agent)
	again.Set("prompt", "login")
	h.signInAs(browser, again, boss)
	if !h.administers(browser) || !h.administers(other) {
		t.Error("signing in anew ended a session of the administration")
	}
	h.leaveAlone(boss)
	if account := h.get(browser, "/account").Body; strings.Contains(account, "<strong>the administration</strong>") {
		t.Errorf("the account page has sessions that are over: %s", account)
	}
	if page := h.get(hers, h.adminURL("/admin/users")).Body; strings.Count(page, "in the administration") != 1 {
		t.Errorf("the list of users has sessions that are over: %s", page)
	}
}

// usersFile writes a list of users for USERS_FILE.
func usersFile(t *testing.T, list string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users.json")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAdministratorsFollowTheFile: who is no administrator in the list of users
// is none after a restart, whatever sessions they have, and who became one is.
func TestAdministratorsFollowTheFile(t *testing.T) {
	h := newHarness(t)
	before := h.administrator()
	if a := h.open(h.newBrowser(), "/admin", john); a.Status != http.StatusForbidden {
		t.Fatalf("%d", a.Status)
	}
	h.cfg.UsersFile = usersFile(t, `[{"email":"admin@demo.example","region":"USA","role":"user","status":"approved"},
		{"email":"john.doe@demo.example","region":"USA","role":"admin","status":"approved"}]`)
	again, err := newServer(t.Context(), h.cfg, h.db, h.mail, h.time, h.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.trail.Close(); err != nil {
		t.Fatal(err)
	}
	if a := h.get(before, h.adminURL("/admin/users")); a.Status != http.StatusSeeOther {
		t.Errorf("the session of before: %d", a.Status)
	}
	if a := h.open(before, "/admin/users", boss); a.Status != http.StatusForbidden {
		t.Errorf("who is none any more: %d", a.Status)
	}
	if a := h.open(h.newBrowser(), "/admin/users", john); a.Status != http.StatusOK {
		t.Errorf("who is one now: %d", a.Status)
	}
}

// TestAdministrationSessionOver: forms of an administration that was left alone
// end where they say so: the one that asks at the sign-in, which the policy of
// its page lets it go to, and from there back to what was asked; those that
// change something at a page that says that nothing was changed, and the one that
// signs out where it says so.
func TestAdministrationSessionOver(t *testing.T) {
	h := newHarness(t)
	browser := h.administrator()
	filter := h.get(browser, h.adminURL("/admin/audit"))
	change := h.get(browser, h.adminURL("/admin/keys/change?action=rotate"))
	h.leaveAlone(boss)

	const asked = "/admin/audit?user=&kind=consent"
	allowed := strings.Fields(strings.ReplaceAll(directive(filter, "form-action"), "'self'", h.cfg.Origin("admin")))
	at, visited := mustParse(t, h.adminURL(asked)), ""
	a := h.get(browser, at.String())
	for a.Header.Get("Location") != "" {
		var err error
		if at, err = at.Parse(a.Header.Get("Location")); err != nil {
			t.Fatal(err)
		}
		if origin := at.Scheme + "://" + at.Host; !slices.Contains(allowed, origin) {
			t.Errorf("form-action %q does not lead to %s", allowed, origin)
		}
		visited += at.Path + " "
		a = h.get(browser, at.String())
	}
	if want := "/authorize /signin /consent /admin/callback /admin/audit "; visited != want {
		t.Errorf("the filter led to %q, want %q", visited, want)
	}
	if a.Status != http.StatusOK || !strings.Contains(a.Body, `<option value="consent" selected`) {
		t.Errorf("after signing in: %d %s", a.Status, a.Body)
	}

	h.leaveAlone(boss)
	path, form := confirmForm(change)
	if a := h.post(browser, h.adminURL(path), form); a.Status != http.StatusForbidden || !strings.Contains(a.Body, "Nothing was changed") {
		t.Errorf("a change: %d %s", a.Status, a.Body)
	}
	if n := len(h.keys.List()); n != 1 {
		t.Errorf("%d keys", n)
	}
	if a := h.post(browser, h.adminURL("/admin/signout"), form); a.Header.Get("Location") != "/admin/signedout" {
		t.Errorf("signing out: %d %s", a.Status, a.Header.Get("Location"))
	}
}

// directive returns the values of a directive of a page's content security
// policy.
func directive(page answer, name string) string {
	for d := range strings.SplitSeq(page.Header.Get("Content-Security-Policy"), "; ") {
		if values, ok := strings.CutPrefix(d, name+" "); ok {
			return values
		}
	}
	return ""
}
