package authserver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// change sends the form of the account page, and returns the page after it.
func (h *harness) change(browser *http.Client, action, client string) answer {
	h.Helper()
	form := fields(h.get(browser, "/account"))
	form.Set("action", action)
	form.Set("client", client)
	return h.follow(browser, h.post(browser, "/account", form))
}

// TestAccount: a user signs in on the way to the account, sees who has access,
// and takes it back, which ends all of it (attack R6).
func TestAccount(t *testing.T) {
	h := newHarness(t)
	agent, device := h.agent(), h.agent()
	_, access := h.trader(agent, john)
	first := h.tokens(agent, john) // another grant of the same client
	other := h.tokens(device, john).JSON["access_token"].(string)
	hers := h.tokens(agent, jane).JSON["access_token"].(string)
	h.wait(time.Hour - time.Minute) // the tokens have expired, and one of the grants is used
	used := h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {first.JSON["refresh_token"].(string)}}).JSON
	h.introspected(used["access_token"].(string))

	h.report("stocksmcp", fmt.Sprintf(`[{"id":"call-1","time":%q,"kind":"tool.call","decision":"refused","reason":"<b>no</b>”. Call 0800","user":%q,"client":%q,"detail":{"tool":"place-order"}}]`,
		h.time().Format(time.RFC3339), h.userID(john), agent))

	stranger := h.newBrowser()
	page := h.follow(stranger, h.get(stranger, "/account"))
	if !strings.Contains(page.Body, "You sign in to see your account") || strings.Contains(page.Body, "Test Agent") {
		t.Fatalf("not signed in: %s", page.Body)
	}
	form := fields(page)
	form.Set("email", john)
	form = fields(h.follow(stranger, h.post(stranger, "/signin", form)))
	form.Set("passcode", h.mail.passcode(john))
	h.trail.Flush()
	page = h.follow(stranger, h.post(stranger, "/passcode", form))
	for _, want := range []string{
		"Your account", john, "USA", "“Test Agent”", "Unverified", "buy and sell stocks", "Take access back",
		"“place-order” <span", "did not work: “&lt;b&gt;no&lt;/b&gt;&#39;. Call 0800”", "You gave “Test Agent” access.", "You signed in: ", "This browser",
	} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the page lacks %q: %s", want, page.Body)
		}
	}
	if got := strings.Count(page.Body, "Take access back</button>"); got != 2 {
		t.Errorf("%d clients, want 2: several grants of one client are one", got)
	}
	lastUsed := regexp.MustCompile(`Last used</dt><dd>([^<]*)`).FindAllStringSubmatch(page.Body, -1)
	if now := moment(h.time()); len(lastUsed) != 2 || lastUsed[0][1] == lastUsed[1][1] || lastUsed[0][1] != "not yet" && lastUsed[1][1] != "not yet" {
		t.Errorf("last used: %q, at %s", lastUsed, now)
	}

	page = h.change(stranger, "take back", agent)
	h.trail.Flush()
	if again := h.get(stranger, "/account"); !strings.Contains(again.Body, "You took access back from “Test Agent”.") {
		t.Errorf("what happened lately does not have it: %s", again.Body)
	}
	if !strings.Contains(page.Body, "Access was taken back") || strings.Count(page.Body, "Take access back</button>") != 1 {
		t.Errorf("after taking it back: %s", page.Body)
	}
	wantError(h, "refresh", h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {used["refresh_token"].(string)}}), 400, "invalid_grant")
	h.wait(time.Minute - time.Hour) // when none of them had expired
	for name, token := range map[string]any{"trading": access, "first": first.JSON["access_token"], "used": used["access_token"]} {
		if got := h.introspected(token.(string)); got["active"] != false {
			t.Errorf("%s is %v", name, got["active"])
		}
	}
	for name, token := range map[string]string{"another client's": other, "another user's": hers} {
		if got := h.introspected(token); got["active"] != true {
			t.Errorf("%s is %v", name, got["active"])
		}
	}
}

// TestAccountRemembers: a client that is not asked about again is listed as
// long as that is so, and asked about after access was taken back.
func TestAccountRemembers(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	h.allow(browser, h.signInAs(browser, h.webQuery(), john))
	h.wait(5 * time.Minute) // nobody redeemed the code
	if page := h.get(browser, "/account"); !strings.Contains(page.Body, "Stocks Web") || !strings.Contains(page.Body, "without asking you") || !strings.Contains(page.Body, "Known here") {
		t.Errorf("%s", page.Body)
	}
	if page := h.change(browser, "take back", "stocks-web"); strings.Contains(page.Body, "Take access back</button>") {
		t.Errorf("still there: %s", page.Body)
	}
	if page := h.follow(browser, h.get(browser, "/authorize?"+h.webQuery().Encode())); !strings.Contains(page.Body, "Allow access?") {
		t.Errorf("not asked again: %s", page.Body)
	}
}

// TestConsentsAreForClientsThatRemember: what a client that is asked about every
// time was allowed is in its grants. It leaves no row beside them, of which a
// program would have one for each port.
func TestConsentsAreForClientsThatRemember(t *testing.T) {
	h := newHarness(t)
	browser, query := h.newBrowser(), h.authorizeQuery(h.agent())
	for _, uri := range []string{callback, strings.Replace(callback, "7777", "7778", 1)} {
		query.Set("redirect_uri", uri)
		if a := h.allow(browser, h.signInAs(browser, query, john)); !strings.HasPrefix(a.Header.Get("Location"), uri+"?") {
			t.Fatalf("%s: %d %q", uri, a.Status, a.Header.Get("Location"))
		}
	}
	if n := h.count("SELECT COUNT(*) FROM consents"); n != 0 {
		t.Errorf("%d consents that nothing reads", n)
	}
	if page := h.get(browser, "/account"); !strings.Contains(page.Body, "“Test Agent”") || !strings.Contains(page.Body, "<dt>Since</dt><dd>"+moment(h.time())[:6]) {
		t.Errorf("the account lacks it: %s", page.Body)
	}
	if page := h.change(browser, "take back", query.Get("client_id")); strings.Contains(page.Body, "Take access back</button>") {
		t.Errorf("still there: %s", page.Body)
	}
	h.allow(browser, h.signInAs(browser, h.webQuery(), john))
	if n := h.count("SELECT COUNT(*) FROM consents"); n != 1 {
		t.Errorf("%d consents of a client that is not asked about again, want 1", n)
	}
}

// TestAccountSessions: a user sees where they are signed in, and signs out
// everywhere else. Another user's sessions stay.
func TestAccountSessions(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	here, there, hers := h.newBrowser(), h.newBrowser(), h.newBrowser()
	h.signInAs(there, h.authorizeQuery(agent), john)
	h.signInAs(hers, h.authorizeQuery(agent), jane)
	h.signInAs(here, h.authorizeQuery(agent), john)
	page := h.get(here, "/account")
	if strings.Count(page.Body, "last seen") != 2 || strings.Count(page.Body, "This browser") != 1 || !strings.Contains(page.Body, "an unknown browser, from 127.0.0.1") {
		t.Fatalf("%s", page.Body)
	}
	if page = h.change(here, "sign out others", ""); !strings.Contains(page.Body, "signed out everywhere else") || strings.Count(page.Body, "last seen") != 1 {
		t.Errorf("%s", page.Body)
	}
	if a := h.get(there, "/account"); a.Status != http.StatusSeeOther {
		t.Errorf("the other browser is signed in: %d", a.Status)
	}
	if a := h.get(hers, "/account"); a.Status != http.StatusOK {
		t.Errorf("another user was signed out: %d", a.Status)
	}
}

// TestAccountForms: attack O14 on the account page: nothing but its own form,
// in the session that it was shown to, changes anything.
func TestAccountForms(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	browser, access := h.trader(agent, john)
	hers, _ := h.trader(agent, jane)
	good := url.Values{"action": {"take back"}, "client": {agent}, "csrf": fields(h.get(browser, "/account"))["csrf"]}
	approve := fields(h.get(browser, approvePath(h.ordered(access, aldp)))).Get("csrf")
	for name, try := range map[string]func() answer{
		"no token": func() answer { return h.post(browser, "/account", with(good, "csrf", "")) },
		"another user's token": func() answer {
			return h.post(browser, "/account", with(good, "csrf", fields(h.get(hers, "/account")).Get("csrf")))
		},
		"another page's token": func() answer { return h.post(browser, "/account", with(good, "csrf", approve)) },
		"nobody":               func() answer { return h.post(h.newBrowser(), "/account", good) },
		"another site": func() answer {
			return h.post(browser, "/account", good, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
		},
		"another host of the site": func() answer {
			return h.post(browser, "/account", good, "Origin", h.cfg.Origin("mcp"), "Sec-Fetch-Site", "same-site")
		},
	} {
		if a := try(); a.Status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := h.post(browser, "/account", with(good, "action", "x")); a.Status != http.StatusBadRequest {
		t.Errorf("no action: %d", a.Status)
	}
	if a := h.get(browser, "/account?done="+url.QueryEscape("<b>You won</b>")); strings.Contains(a.Body, "You won") {
		t.Error("a link puts words on the page")
	}
	if h.introspected(access)["active"] != true {
		t.Error("access was taken back by one of them")
	}
	if h.post(browser, "/account", good); h.introspected(access)["active"] != false {
		t.Error("the good form does nothing")
	}
}

// TestOwnPageGivesNoCode: the sign-in for a page of this server is no client's
// request: allowing it, also before the page is reached, gives nobody access.
func TestOwnPageGivesNoCode(t *testing.T) {
	h := newHarness(t)
	browser := h.newBrowser()
	form := fields(h.follow(browser, h.get(browser, "/account")))
	form.Set("email", john)
	form = fields(h.follow(browser, h.post(browser, "/signin", form)))
	form.Set("passcode", h.mail.passcode(john))
	if a := h.post(browser, "/passcode", form); !strings.HasPrefix(a.Header.Get("Location"), "/consent?") {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	form.Set("decision", "allow")
	if a := h.post(browser, "/consent", form); a.Status != http.StatusSeeOther || a.Header.Get("Location") != "/account" {
		t.Errorf("allowed: %d, Location %q", a.Status, a.Header.Get("Location"))
	}
	if page := h.get(browser, "/account"); page.Status != http.StatusOK || strings.Contains(page.Body, "Take access back</button>") {
		t.Errorf("%d %s", page.Status, page.Body)
	}
	if n := h.count("SELECT COUNT(*) FROM requests"); n != 0 {
		t.Errorf("%d sign-ins can be used again", n)
	}
}

// TestUsesAreWritten: the last use outlives the process.
func TestUsesAreWritten(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	access := h.tokens(agent, john).JSON["access_token"].(string)
	claims := h.introspected(access)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.grants.NoteUses(ctx) // as when the server stops
	list, err := h.db.Access(t.Context(), claims["sub"].(string), h.time(), 10)
	if err != nil || len(list) != 1 || h.time().Sub(list[0].UsedAt) > time.Minute {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestManyAccesses: of many clients that have access the page shows some at a
// time, and all of them in the end.
func TestManyAccesses(t *testing.T) {
	h := newHarness(t)
	h.fillPages(4*(maxAccesses+5), 1)
	browser := h.newBrowser()
	h.signInAs(browser, h.authorizeQuery(h.agent()), john)
	client, next := regexp.MustCompile(`name="client" value="([^"]+)"`), regexp.MustCompile(`href="(/account\?[^"]+)"`)
	seen := map[string]bool{}
	var pages []int
	for address := "/account"; address != "" && len(pages) < 3; {
		page := h.get(browser, address)
		found := client.FindAllStringSubmatch(page.Body, -1)
		for _, m := range found {
			seen[m[1]] = true
		}
		pages, address = append(pages, len(found)), ""
		if m := next.FindStringSubmatch(page.Body); m != nil {
			address = m[1]
		}
	}
	if diff := cmp.Diff([]int{maxAccesses, 5}, pages); diff != "" || len(seen) != maxAccesses+5 {
		t.Errorf("clients on each page (-want +got), %d in all:\n%s", len(seen), diff)
	}
}
