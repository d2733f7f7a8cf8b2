package authserver

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/audit"
)

const boss = "admin@demo.example"

// adminURL is an address of the administration.
func (h *harness) adminURL(path string) string { return h.cfg.Origin("admin") + path }

// userID finds a user of the harness.
func (h *harness) userID(email string) string {
	h.Helper()
	u, err := h.db.UserByEmail(h.Context(), email)
	if err != nil {
		h.Fatal(err)
	}
	return u.ID
}

// open opens a page of the administration as a user, who goes through the
// sign-in where that is asked for, and returns what they get in the end.
func (h *harness) open(browser *http.Client, path, email string) answer {
	h.Helper()
	a := h.get(browser, h.adminURL(path))
	for range 12 {
		switch location := a.Header.Get("Location"); {
		case strings.HasPrefix(location, "https://"):
			a = h.get(browser, location)
		case strings.HasPrefix(location, "/admin"):
			a = h.get(browser, h.adminURL(location))
		case location != "":
			a = h.get(browser, location)
		case strings.Contains(a.Body, `name="email"`):
			form := fields(a)
			form.Set("email", email)
			a = h.post(browser, "/signin", form)
		case strings.Contains(a.Body, `name="passcode"`):
			form := fields(a)
			form.Set("passcode", h.mail.passcode(email))
			a = h.post(browser, "/passcode", form)
		case strings.Contains(a.Body, `name="decision"`):
			form := fields(a)
			form.Set("decision", "allow")
			a = h.post(browser, "/consent", form)
		default:
			return a
		}
	}
	h.Fatalf("no end: %d %s", a.Status, a.Header.Get("Location"))
	return a
}

// administrator returns a browser that is signed in to the administration.
func (h *harness) administrator() *http.Client {
	h.Helper()
	browser := h.newBrowser()
	if page := h.open(browser, "/admin", boss); page.Status != http.StatusOK || !strings.Contains(page.Body, "Overview") {
		h.Fatalf("administration: %d %s\n%s", page.Status, page.Body, h.logs)
	}
	return browser
}

var confirmField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// confirmForm returns the form of a page that asks for confirmation, and where
// it goes.
func confirmForm(page answer) (path string, form url.Values) {
	body, _, _ := strings.Cut(page.Body, "<footer") // which has a form of its own
	if m := regexp.MustCompile(`action="([^"]+)"`).FindStringSubmatch(body); m != nil {
		path = m[1]
	}
	form = url.Values{}
	for _, m := range confirmField.FindAllStringSubmatch(body, -1) {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return path, form
}

// administer opens the page for a change, confirms it, and returns the page
// after it.
func (h *harness) administer(browser *http.Client, address string) answer {
	h.Helper()
	page := h.get(browser, h.adminURL(address))
	if page.Status != http.StatusOK {
		h.Fatalf("%s: %d %s", address, page.Status, page.Body)
	}
	path, form := confirmForm(page)
	a := h.post(browser, h.adminURL(path), form)
	if a.Status != http.StatusSeeOther {
		h.Fatalf("%s: %d %s", address, a.Status, a.Body)
	}
	return h.get(browser, h.adminURL(a.Header.Get("Location")))
}

// recorded returns what the administration recorded, the newest first.
func (h *harness) recorded() []trail.Entry {
	h.Helper()
	var entries []trail.Entry
	deadline := time.Now().Add(5 * time.Second)
	for len(entries) == 0 && time.Now().Before(deadline) { // it is written in the background
		var err error
		if entries, err = h.trail.Search(h.Context(), trail.Filter{Kind: audit.Administration}); err != nil {
			h.Fatal(err)
		}
	}
	return entries
}

// wantRecorded waits until an event is in the trail.
func (h *harness) wantRecorded(action string, decision audit.Decision, more func(trail.Entry) bool) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 5*time.Second)
	defer cancel()
	for {
		for _, e := range h.recorded() {
			if e.Detail["action"] == action && e.Decision == decision && more(e) {
				return
			}
		}
		select {
		case <-ctx.Done():
			h.Errorf("%s, %s was not recorded", action, decision)
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func anyEntry(trail.Entry) bool { return true }

// TestAdministrationSignIn: an administrator gets in through the sign-in of
// this server, back to the page that was asked for, and out again.
func TestAdministrationSignIn(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	page := h.open(browser, "/admin/users?after=b", boss)
	if page.Status != http.StatusOK || !strings.Contains(page.Body, "<h1>Users</h1>") || strings.Contains(page.Body, boss+"</bdi>") {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self' https://login.demo.localhost:8443; frame-ancestors 'none'; base-uri 'none'",
		"Cache-Control":           "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
	} {
		if got := page.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	h.wantRecorded("sign in", audit.Allowed, func(e trail.Entry) bool { return e.User == h.userID(boss) })
	if live, err := h.db.LiveGrants(t.Context(), h.userID(boss), "", "", h.time(), 10); err != nil || len(live) > 0 {
		t.Errorf("%d grants are left of the sign-in, %v", len(live), err)
	}

	// Every page is there.
	for _, path := range []string{"/admin", "/admin/users", "/admin/clients", "/admin/grants", "/admin/keys", "/admin/limits", "/admin/policy", "/admin/audit"} {
		if a := h.get(browser, h.adminURL(path)); a.Status != http.StatusOK || !strings.Contains(a.Body, `aria-current="page"`) || len(a.Body) > 60_000 {
			t.Errorf("%s: %d, %d bytes", path, a.Status, len(a.Body))
		}
	}
	if a := h.get(browser, h.adminURL(styleSheet())); a.Status != http.StatusOK || a.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("style sheet: %d %s", a.Status, a.Header.Get("Content-Type"))
	}

	footer := regexp.MustCompile(`action="/admin/signout"><input type="hidden" name="csrf" value="([^"]+)"`).FindStringSubmatch(page.Body)
	if footer == nil {
		t.Fatal("no way out")
	}
	jar := browser.Jar.Cookies(mustParse(t, h.adminURL("/")))
	if a := h.post(browser, h.adminURL("/admin/signout"), url.Values{"csrf": {footer[1]}}); a.Header.Get("Location") != "/admin/signedout" {
		t.Errorf("signing out: %d %s", a.Status, a.Header.Get("Location"))
	}
	thief := h.newBrowser()
	thief.Jar.SetCookies(mustParse(t, h.adminURL("/")), jar)
	if a := h.get(thief, h.adminURL("/admin")); a.Status != http.StatusSeeOther {
		t.Errorf("the cookie of before still gives %d", a.Status)
	}
}

func mustParse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestAdministrationSessionsEnd: after 15 minutes without use, and with the
// role or the approval, which are looked up at every request.
func TestAdministrationSessionsEnd(t *testing.T) {
	h := newHarness(t)
	browser := h.administrator()
	status := func() int { return h.get(browser, h.adminURL("/admin")).Status }
	h.wait(login.AdminIdle - time.Second)
	if got := status(); got != http.StatusOK {
		t.Errorf("used in time: %d", got)
	}
	h.wait(login.AdminIdle)
	if got := status(); got != http.StatusSeeOther {
		t.Errorf("not used for too long: %d, want to sign in", got)
	}

	h.wait(-2 * login.AdminIdle)
	for range int(login.AdminLifetime/(10*time.Minute)) - 1 {
		h.wait(10 * time.Minute)
		if got := status(); got != http.StatusOK {
			t.Fatalf("in use: %d", got)
		}
	}
	h.wait(11 * time.Minute)
	if got := status(); got != http.StatusSeeOther {
		t.Errorf("after eight hours: %d, want to sign in", got)
	}
	h.wait(-login.AdminLifetime)
	if err := h.db.SetUserStatus(t.Context(), h.userID(boss), store.UserPending); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != http.StatusForbidden {
		t.Errorf("not approved any more: %d", got)
	}
}

// TestAdministrationShowsLimits: of the wrong codes of devices, the limit that
// keeps everybody out is shown, and nothing that limits nobody.
func TestAdministrationShowsLimits(t *testing.T) {
	h := newHarness(t)
	for i := range 500 { // from a hundred sites, while a thousand devices wait
		if _, wait := h.userCodes.take(fmt.Sprintf("10.%d.%d.1", i/5, i%5), 1000); wait > 0 {
			t.Fatalf("code %d waits %s", i, wait)
		}
	}
	if _, wait := h.userCodes.take("192.0.2.1", 1000); wait == 0 {
		t.Fatal("the limit is not reached")
	}
	page := h.get(h.administrator(), h.adminURL("/admin/limits")).Body
	facts := map[string]string{}
	for _, m := range regexp.MustCompile(`(?s)<h2 [^>]*>([^<]*)</h2>\s*<dl class="facts">(.*?)</dl>`).FindAllStringSubmatch(page, -1) {
		facts[m[1]] = m[2]
	}
	for name, want := range map[string]struct{ has, lacks string }{
		"Wrong codes of devices, of everybody, in 1 hour": {"500000 of 500000 chances to hit a device", "Each"},
		"Wrong codes of devices, of a network, in 1 hour": {"up to 20 for a network", "In all"},
		"Wrong codes of devices, of a site, in 1 hour":    {"up to 100 for a site", "In all"},
		"Registrations, in 1 hour":                        {"0 of 10000 registrations", "until"},
	} {
		if got := facts[name]; !strings.Contains(got, want.has) || strings.Contains(got, want.lacks) {
			t.Errorf("%s: %q, want %+v", name, got, want)
		}
	}
}
