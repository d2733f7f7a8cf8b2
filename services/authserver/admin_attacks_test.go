package authserver

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/audit"
)

// changes are the address of every kind of change, as an attacker could know
// them.
func (h *harness) changes(client string) []string {
	return []string{
		"/admin/users/change?action=suspend&user=" + h.userID(john),
		"/admin/users/change?action=region&region=Asia&user=" + h.userID(john),
		"/admin/clients/change?action=suspend&client=" + client,
		"/admin/clients/change?action=delete&client=" + client,
		"/admin/keys/change?action=rotate",
	}
}

// state is all that the changes could change.
func (h *harness) unchanged(client string) {
	h.Helper()
	u, err := h.db.User(h.Context(), h.userID(john))
	if err != nil || u.Status != store.UserApproved || u.Region != "USA" {
		h.Errorf("%+v, %v", u, err)
	}
	if _, err := h.clients.Find(h.Context(), client); err != nil {
		h.Error(err)
	}
	if n := len(h.keys.List()); n != 1 {
		h.Errorf("%d keys", n)
	}
}

// TestAdministrationForms: nothing changes but by a form that this session was
// shown for exactly this, sent by a page of the administration (attack O14).
func TestAdministrationForms(t *testing.T) {
	h := newHarness(t)
	agent, browser, other := h.agent(), h.administrator(), h.administrator()
	for _, address := range h.changes(agent) {
		path, form := confirmForm(h.get(browser, h.adminURL(address)))
		_, foreign := confirmForm(h.get(other, h.adminURL(address)))
		with := func(name string, values ...string) url.Values {
			changed := url.Values{}
			for n, v := range form {
				changed[n] = v
			}
			if changed[name] = values; len(values) == 0 {
				delete(changed, name)
			}
			return changed
		}
		for name, tt := range map[string]struct {
			form   url.Values
			header []string
		}{
			"no token":                {with("csrf"), nil},
			"an empty token":          {with("csrf", ""), nil},
			"another session's token": {with("csrf", foreign.Get("csrf")), nil},
			"another user":            {with("user", h.userID(jane)), nil},
			"another action":          {with("action", "approve"), nil},
			"one field more":          {with("x", "y"), nil},
			"a field twice":           {with("action", form.Get("action"), form.Get("action")), nil},
			"another site":            {form, []string{"Origin", "https://evil.example"}},
			"the sign-in's host":      {form, []string{"Origin", h.cfg.Issuer()}},
			"a sandboxed page":        {form, []string{"Origin", "null"}},
			"a sibling site":          {form, []string{"Sec-Fetch-Site", "same-site"}},
			"a cross site":            {form, []string{"Sec-Fetch-Site", "cross-site"}},
		} {
			if a := h.post(browser, h.adminURL(path), tt.form, tt.header...); a.Status != http.StatusForbidden && a.Status != http.StatusBadRequest {
				t.Errorf("%s, %s: %d", address, name, a.Status)
			}
		}
		if a := h.post(h.newBrowser(), h.adminURL(path), form); a.Status != http.StatusForbidden {
			t.Errorf("%s without a session: %d", address, a.Status)
		}
		// Everything in the address: as POST, and as the GET of a link or an image.
		if a := h.post(browser, h.adminURL(path+"?"+form.Encode()), nil); a.Status != http.StatusBadRequest {
			t.Errorf("%s in the address: %d", address, a.Status)
		}
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodPut} {
			if a := h.do(browser, h.request(method, h.adminURL(path+"?"+form.Encode()), "")); a.Status == http.StatusSeeOther {
				t.Errorf("%s %s does it", method, address)
			}
		}
		h.unchanged(agent)
	}
	if a := h.post(browser, h.adminURL("/admin/signout"), url.Values{"csrf": {"x"}}); a.Status != http.StatusForbidden {
		t.Errorf("signing another out: %d", a.Status)
	}
}

// TestAdministrationIsForAdministrators: the role is asked of the store at
// every request, whoever holds a session.
func TestAdministrationIsForAdministrators(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	plain := h.newBrowser()
	page := h.open(plain, "/admin", john)
	if page.Status != http.StatusForbidden || !strings.Contains(page.Body, "This is for administrators") {
		t.Errorf("a plain user: %d %s", page.Status, page.Body)
	}
	for _, c := range plain.Jar.Cookies(mustParse(t, h.adminURL("/"))) {
		if c.Name == "__Host-admin" {
			t.Error("a plain user got a session")
		}
	}
	h.wantRecorded("sign in", audit.Refused, func(e trail.Entry) bool { return e.User == h.userID(john) })

	// Even with a session, should the role ever be taken away without ending it.
	role := func(role string) { h.tamper("UPDATE users SET role = ? WHERE email = ?", role, john) }
	role(store.RoleAdmin)
	value, err := h.login.SignInAdmin(t.Context(), h.userID(john), h.time())
	if err != nil {
		t.Fatal(err)
	}
	role(store.RoleUser)
	plain.Jar.SetCookies(mustParse(t, h.adminURL("/")), []*http.Cookie{{Name: "__Host-admin", Value: value, Path: "/", Secure: true}})
	for _, address := range append(h.changes(agent), "/admin", "/admin/users", "/admin/clients", "/admin/grants", "/admin/keys", "/admin/limits", "/admin/policy", "/admin/audit", "/admin/audit/story?request=x") {
		a := h.get(plain, h.adminURL(address))
		if a.Status != http.StatusForbidden || strings.Contains(a.Body, "@demo.example") {
			t.Errorf("GET %s: %d", address, a.Status)
		}
		path, query, _ := strings.Cut(address, "?")
		form, _ := url.ParseQuery(query)
		if a := h.post(plain, h.adminURL(path), form); a.Status != http.StatusForbidden && a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", address, a.Status)
		}
	}
	h.unchanged(agent)

	// Nobody at all: forced browsing ends at the sign-in, or nowhere.
	for _, address := range append(h.changes(agent), "/admin/audit", "/admin/keys") {
		a := h.get(h.newBrowser(), h.adminURL(address))
		if a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), h.cfg.Issuer()+"/authorize?") || a.Body != "" {
			t.Errorf("GET %s: %d %s", address, a.Status, a.Header.Get("Location"))
		}
	}
	for _, c := range []string{"", "x", strings.Repeat("A", 26), h.userID(boss)} {
		forged := h.newBrowser()
		forged.Jar.SetCookies(mustParse(t, h.adminURL("/")), []*http.Cookie{{Name: "__Host-admin", Value: c, Path: "/", Secure: true}})
		if a := h.get(forged, h.adminURL("/admin")); a.Status != http.StatusSeeOther {
			t.Errorf("cookie %q: %d", c, a.Status)
		}
	}
}

// TestAdministrationHosts: what is on one host is not on the other, and neither
// knows the other's cookies.
func TestAdministrationHosts(t *testing.T) {
	h := newHarness(t)
	browser := h.administrator()
	for _, path := range []string{"/authorize", "/token", "/signin", "/account", "/register", "/jwks", "/.well-known/openid-configuration", "/introspect", "/revocations", "/healthz", "/", "/administration", "/admin/", "/admin/../account", "//admin"} {
		if a := h.get(browser, h.adminURL(path)); a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed {
			t.Errorf("admin host, %s: %d", path, a.Status)
		}
		if a := h.post(browser, h.adminURL(path), url.Values{}); a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed {
			t.Errorf("admin host, POST %s: %d", path, a.Status)
		}
	}
	for _, path := range []string{"/admin", "/admin/users", "/admin/callback", "/admin/keys/change?action=rotate"} {
		if a := h.get(browser, path); a.Status != http.StatusNotFound {
			t.Errorf("login host, %s: %d", path, a.Status)
		}
	}
	for host, want := range map[string]int{
		"ADMIN.Demo.Localhost:8443": http.StatusSeeOther, "admin.demo.localhost.": http.StatusSeeOther, "admin.demo.localhost": http.StatusSeeOther,
		"login.demo.localhost:8443": http.StatusNotFound, "admin.demo.localhost.evil.example": http.StatusNotFound, "xadmin.demo.localhost": http.StatusNotFound,
		"127.0.0.1:8081": http.StatusNotFound, "": http.StatusNotFound,
	} {
		req := h.request(http.MethodGet, "/admin", "")
		if req.Host = host; host == "" {
			req.Host = "other"
		}
		if a := h.do(h.newBrowser(), req); a.Status != want {
			t.Errorf("Host %q: %d, want %d", host, a.Status, want)
		}
	}
	// The session of the sign-in is none here, and the other way round.
	values := map[string]string{}
	for _, host := range []string{h.adminURL("/"), h.url("/")} {
		for _, c := range browser.Jar.Cookies(mustParse(t, host)) {
			values[c.Name] = c.Value
		}
	}
	crossed := h.newBrowser()
	crossed.Jar.SetCookies(mustParse(t, h.adminURL("/")), []*http.Cookie{{Name: "__Host-admin", Value: values["__Host-session"], Path: "/", Secure: true}})
	crossed.Jar.SetCookies(mustParse(t, h.url("/")), []*http.Cookie{{Name: "__Host-session", Value: values["__Host-admin"], Path: "/", Secure: true}})
	if a := h.get(crossed, h.adminURL("/admin")); a.Status != http.StatusSeeOther || values["__Host-session"] == "" {
		t.Errorf("the session of the sign-in: %d", a.Status)
	}
	if a := h.get(crossed, "/account"); a.Status != http.StatusSeeOther {
		t.Errorf("the session of the administration: %d", a.Status)
	}
}

// answerOf walks the sign-in of the administration up to the answer that the
// browser brings to the callback, and returns that.
func (h *harness) answerOf(browser *http.Client, email string) *url.URL {
	h.Helper()
	begun := h.get(browser, h.adminURL("/admin/keys"))
	page := h.follow(browser, h.get(browser, begun.Header.Get("Location")))
	form := fields(page)
	if strings.Contains(page.Body, `name="email"`) {
		form.Set("email", email)
		form = fields(h.follow(browser, h.post(browser, "/signin", form)))
		form.Set("passcode", h.mail.passcode(email))
		page = h.follow(browser, h.post(browser, "/passcode", form))
	}
	if strings.Contains(page.Body, `name="decision"`) {
		form = fields(page)
		form.Set("decision", "allow")
		page = h.post(browser, "/consent", form)
	}
	return mustParse(h.TB, page.Header.Get("Location"))
}

// TestAdministrationCallback: an answer counts in the browser that asked for it
// alone, once, from our issuer alone (attacks A10, A14).
func TestAdministrationCallback(t *testing.T) {
	h := newHarness(t)
	signedIn := func(browser *http.Client) bool {
		return h.get(browser, h.adminURL("/admin")).Status == http.StatusOK
	}
	attacker := h.newBrowser()
	theirs := h.answerOf(attacker, boss)

	t.Run("login CSRF", func(t *testing.T) {
		victim := h.newBrowser()
		for _, begun := range []bool{false, true} {
			if begun {
				h.get(victim, h.adminURL("/admin"))
			}
			if a := h.get(victim, theirs.String()); a.Status != http.StatusBadRequest || signedIn(victim) {
				t.Errorf("a sign-in under way %v: %d", begun, a.Status)
			}
		}
	})
	t.Run("code injection", func(t *testing.T) {
		victim := h.newBrowser()
		own := h.answerOf(victim, boss)
		q := own.Query()
		q.Set("code", theirs.Query().Get("code"))
		own.RawQuery = q.Encode()
		if a := h.get(victim, own.String()); a.Status != http.StatusBadGateway || signedIn(victim) {
			t.Errorf("%d", a.Status)
		}
	})
	for name, change := range map[string]func(url.Values){
		"no iss":           func(q url.Values) { q.Del("iss") },
		"another iss":      func(q url.Values) { q.Set("iss", "https://evil.example") },
		"iss twice":        func(q url.Values) { q.Add("iss", "https://evil.example") },
		"no state":         func(q url.Values) { q.Del("state") },
		"an empty state":   func(q url.Values) { q.Set("state", "") },
		"state twice":      func(q url.Values) { q.Add("state", q.Get("state")) },
		"code twice":       func(q url.Values) { q.Add("code", "x") },
		"no code":          func(q url.Values) { q.Del("code") },
		"an error":         func(q url.Values) { q.Del("code"); q.Set("error", "<script>"); q.Set("error_description", "<script>") },
		"an unknown code":  func(q url.Values) { q.Set("code", "x") },
		"another's answer": func(q url.Values) { q.Set("state", theirs.Query().Get("state")) },
	} {
		t.Run(name, func(t *testing.T) {
			browser := h.newBrowser()
			to := h.answerOf(browser, boss)
			q := to.Query()
			change(q)
			to.RawQuery = q.Encode()
			a := h.get(browser, to.String())
			if a.Status < 400 || strings.Contains(a.Body, "<script") || signedIn(browser) {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	t.Run("too late", func(t *testing.T) {
		browser := h.newBrowser()
		to := h.answerOf(browser, boss)
		h.wait(16 * time.Minute)
		defer h.wait(-16 * time.Minute)
		if a := h.get(browser, to.String()); a.Status != http.StatusBadRequest {
			t.Errorf("%d", a.Status)
		}
	})
	t.Run("open redirect, and twice", func(t *testing.T) {
		browser := h.newBrowser()
		begun := h.get(browser, h.adminURL("/admin?page=https://evil.example/&next=//evil.example"))
		changed := &http.Cookie{Name: "__Host-admin-signin", Path: "/", Secure: true}
		for _, c := range browser.Jar.Cookies(mustParse(t, h.adminURL("/"))) {
			parts := strings.Split(c.Value, ".")
			parts[2] = "Ly9ldmlsLmV4YW1wbGU" // //evil.example
			changed.Value = strings.Join(parts, ".")
		}
		to := h.answerOf(browser, boss)
		kept := browser.Jar.Cookies(mustParse(t, h.adminURL("/")))
		evil := h.newBrowser()
		evil.Jar.SetCookies(mustParse(t, h.adminURL("/")), []*http.Cookie{changed})
		if a := h.get(evil, to.String()); a.Status != http.StatusBadRequest || begun.Header.Get("Location") == "" {
			t.Errorf("a page that was put into the cookie: %d %s", a.Status, a.Header.Get("Location"))
		}
		if a := h.get(browser, to.String()); a.Header.Get("Location") != "/admin/keys" || !signedIn(browser) {
			t.Errorf("%d %s", a.Status, a.Header.Get("Location"))
		}
		if a := h.get(browser, to.String()); a.Status != http.StatusBadRequest {
			t.Errorf("again: %d", a.Status)
		}
		replayed := h.newBrowser()
		for _, c := range kept {
			c.Path, c.Secure = "/", true
		}
		replayed.Jar.SetCookies(mustParse(t, h.adminURL("/")), kept)
		if a := h.get(replayed, to.String()); a.Status != http.StatusBadGateway || signedIn(replayed) {
			t.Errorf("again, with the cookie of before: %d", a.Status)
		}
	})
}

// TestAdministrationWithoutIssuer: while the gateway is not up, signing in says
// to try again, and works as soon as it is.
func TestAdministrationWithoutIssuer(t *testing.T) {
	h := newHarness(t)
	works := h.back.Transport
	h.back.Transport = failing{}
	a := h.get(h.newBrowser(), h.adminURL("/admin"))
	if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d", a.Status)
	}
	h.back.Transport = works
	h.administrator()
}

type failing struct{}

// RoundTrip implements http.RoundTripper.
func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded }

// TestAdministrationShowsStrangersWords: names, ids and what a trail holds of
// requests that anybody can send are inert (attack D3).
func TestAdministrationShowsStrangersWords(t *testing.T) {
	h := newHarness(t)
	names := []string{
		`<img src=x onerror=alert(1)>`, `"><script>alert(1)</script>`, "Safe\u202egnp.exe", "zero\u200bwidth\u2060", "Administr\u0430tion",
		strings.Repeat("W", 100), "{{.Visitor}}", "javascript:alert(1)", "a\x00b",
	}
	for _, name := range names {
		h.register(map[string]any{"client_name": name, "redirect_uris": []string{callback}, "token_endpoint_auth_method": "none"})
		event := audit.Event{
			Kind: audit.ClientRefused, Decision: audit.Refused, Reason: name, Request: name, Grant: name, User: name, Client: name, Token: name,
			Audience: name, Scope: name, Actors: []string{name}, Detail: map[string]string{name: name},
		}
		if err := h.trail.Append(t.Context(), audit.Complete(t.Context(), event, "gateway", h.time())); err != nil {
			t.Fatal(err)
		}
	}
	browser := h.administrator()
	for _, address := range []string{"/admin", "/admin/clients", "/admin/audit", "/admin/audit/story?request=" + url.QueryEscape(names[0]), "/admin/audit?user=" + url.QueryEscape(names[1])} {
		page := h.get(browser, h.adminURL(address))
		if page.Status != http.StatusOK || !strings.Contains(page.Body, "onerror") && !strings.Contains(page.Body, "alert(1)") {
			t.Errorf("%s: %d, nothing of it is shown", address, page.Status)
		}
		for _, bad := range []string{"<img", "<script", "\u202e", "\u200b", "\u2060", "\x00", `href="javascript:`, strings.Repeat("W", 101)} {
			if strings.Contains(page.Body, bad) {
				t.Errorf("%s has %q", address, bad)
			}
		}
	}
	if page := h.get(browser, h.adminURL("/admin/clients")); !strings.Contains(page.Body, "looks like") {
		t.Error("nobody is told about the name that looks like ours")
	}
}
