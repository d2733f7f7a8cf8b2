package authserver

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	service "demo.example/services/internal/audit"
)

// TestAuditPage: the trail is filtered by who, what and when, and read page by
// page.
func TestAuditPage(t *testing.T) {
	h := newHarness(t)
	browser := h.administrator()
	johnID, start := h.userID(john), h.time().Add(-time.Hour).Truncate(time.Minute)
	var events []service.Event
	for i := range 120 {
		e := service.Event{
			Kind: service.APIDecision, Decision: service.Allowed, User: johnID, Client: "stocks-web", Request: fmt.Sprintf("request-%d", i),
			Grant: "grant-1", Detail: map[string]string{"stock": fmt.Sprintf("STOCK%03d", i)}, Time: start.Add(time.Duration(i) * time.Second),
		}
		if i == 7 {
			e.Kind, e.Decision, e.Reason = service.ToolCall, service.Refused, "insufficient_scope"
		}
		events = append(events, service.Complete(t.Context(), e, "stocksapi", h.time()))
	}
	if err := h.trail.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	stock := regexp.MustCompile(`STOCK\d{3}`)
	shown := func(query url.Values) (stocks []string, page answer) {
		t.Helper()
		page = h.get(browser, h.adminURL("/admin/audit?"+query.Encode()))
		if page.Status != http.StatusOK {
			t.Fatalf("%v: %d %s", query, page.Status, page.Body)
		}
		return stock.FindAllString(page.Body, -1), page
	}
	at := func(s int) string { return start.Add(time.Duration(s) * time.Second).UTC().Format("2006-01-02T15:04") }
	for name, tt := range map[string]struct {
		query url.Values
		first string
		count int
	}{
		"user by id":      {url.Values{"user": {johnID}}, "STOCK119", 20},
		"user by address": {url.Values{"user": {" John.Doe@demo.example "}}, "STOCK119", 20},
		"client":          {url.Values{"client": {"stocks-web"}, "kind": {"api.decision"}}, "STOCK119", 20},
		"kind":            {url.Values{"kind": {"tool.call"}}, "STOCK007", 1},
		"decision":        {url.Values{"decision": {"refused"}}, "STOCK007", 1},
		"request":         {url.Values{"request": {"request-3"}}, "STOCK003", 1},
		"grant and time":  {url.Values{"grant": {"grant-1"}, "until": {at(60)}}, "STOCK059", 20},
		"time":            {url.Values{"user": {johnID}, "since": {at(0)}, "until": {at(60)}, "decision": {"refused"}}, "STOCK007", 1},
		"nothing":         {url.Values{"user": {johnID}, "since": {at(600)}}, "", 0},
		"nobody":          {url.Values{"user": {"x@demo.example"}}, "", 0},
		"no time":         {url.Values{"since": {"yesterday"}}, "", 0},
	} {
		got, page := shown(tt.query)
		if len(got) != tt.count || tt.count > 0 && got[0] != tt.first {
			t.Errorf("%s: %d, the first %v, want %d and %s", name, len(got), got, tt.count, tt.first)
		}
		if wrong := strings.Contains(page.Body, `role="alert"`); wrong != (name == "nobody" || name == "no time") {
			t.Errorf("%s: a problem is shown: %v", name, wrong)
		}
	}

	seen := map[string]bool{}
	next := regexp.MustCompile(`<a href="([^"]+)">Next page`)
	for address := "/admin/audit?user=" + johnID; address != ""; {
		page := h.get(browser, h.adminURL(address))
		for _, s := range stock.FindAllString(page.Body, -1) {
			if seen[s] {
				t.Errorf("%s is there twice", s)
			}
			seen[s] = true
		}
		address = ""
		if m := next.FindStringSubmatch(page.Body); m != nil {
			address = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if len(seen) != 120 {
		t.Errorf("%d events on all pages, want 120", len(seen))
	}
}

// TestStoryPage: one request is told from the sign-in and the consent to the
// decision at its end, oldest first whatever arrived first, and nothing of
// another request. Whose it is stands above; what is the request's own is marked.
func TestStoryPage(t *testing.T) {
	h := newHarness(t)
	browser := h.administrator()
	johnID := h.userID(john)
	var n int
	event := func(e service.Event) service.Event {
		n++
		e.User, e.Client, e.Decision, e.Time = johnID, "stocks-web", service.Allowed, h.time().Add(time.Duration(n)*time.Second)
		return service.Complete(t.Context(), e, "authserver", h.time())
	}
	events := []service.Event{
		event(service.Event{Kind: service.SignIn, Flow: "flow", Request: "r1"}),
		event(service.Event{Kind: service.Consent, Flow: "flow", Request: "r2", Grant: "grant"}),
		event(service.Event{Kind: service.TokenIssued, Request: "r3", Grant: "grant"}),
		event(service.Event{Kind: service.ToolCall, Request: "r4", Grant: "grant", Detail: map[string]string{"tool": "another"}}),
		event(service.Event{Kind: service.Access, Request: "r5", Grant: "grant"}),
		event(service.Event{Kind: service.ToolCall, Request: "r5", Grant: "grant", Detail: map[string]string{"tool": "fetch-stock-prices"}}),
		event(service.Event{Kind: service.APIDecision, Request: "r5", Grant: "grant", Actors: []string{"stocksmcp"}}),
	}
	events[5], events[6] = events[6], events[5] // services report on their own time
	if err := h.trail.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	page := h.get(browser, h.adminURL("/admin/audit/story?request=r5"))
	last := 0
	for _, want := range []string{"<strong>Sign-in</strong>", "<strong>Consent</strong>", "<strong>Token issued</strong>", "<strong>Token judged", "<strong>Tool called</strong>", "fetch-stock-prices", "<strong>Decision of the stocks API</strong>", "stocksmcp"} {
		i := strings.Index(page.Body, want)
		if i < last {
			t.Errorf("%q is not there, or before its time: %s", want, page.Body)
		}
		last = i
	}
	if own, names := strings.Count(page.Body, "this request</strong>"), strings.Count(page.Body, john); own != 3 || names != 1 {
		t.Errorf("%d events are the request's own, want 3; the user is named %d times, want once", own, names)
	}
	if strings.Contains(page.Body, "another") {
		t.Errorf("not the story of this request alone: %s", page.Body)
	}
	for _, address := range []string{"/admin/audit/story", "/admin/audit/story?request=none"} {
		if a := h.get(browser, h.adminURL(address)); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", address, a.Status)
		}
	}
}

// TestLookingIsNotRecorded: the trail holds what was done.
func TestLookingIsNotRecorded(t *testing.T) {
	h := newHarness(t)
	browser := h.administrator()
	h.wantRecorded("sign in", service.Allowed, anyEntry)
	before := len(h.recorded())
	for _, path := range []string{"/admin", "/admin/audit", "/admin/users/change?action=suspend&user=" + h.userID(john)} {
		h.get(browser, h.adminURL(path))
	}
	h.administer(browser, "/admin/keys/change?action=rotate")
	h.wantRecorded("rotate keys", service.Allowed, anyEntry)
	if after := len(h.recorded()); after != before+1 {
		t.Errorf("%d events for one change", after-before)
	}
}

// TestLimitsPage: the counts are those of the limits in force.
func TestLimitsPage(t *testing.T) {
	h := newHarness(t)
	browser := h.administrator()
	for range 3 {
		h.agent()
	}
	page := h.get(browser, h.adminURL("/admin/limits"))
	for _, want := range []string{
		fmt.Sprintf("<dd>3 of %d", h.cfg.RegistrationsTotal), fmt.Sprintf("1 of %d", h.cfg.PasscodesTotal), fmt.Sprintf("up to %d for a network", h.cfg.AuthorizationsPerIP), `<td data-label="Count">3</td>`,
	} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("no %q: %s", want, page.Body)
		}
	}
	page = h.get(browser, h.adminURL("/admin/policy"))
	for _, want := range []string{h.clients.Policy.Scope, h.clients.Policy.Resource, fmt.Sprintf("%d in 1 hour", h.cfg.RegistrationsPerIP), "for 24 hours if no user", "90 days", "15 minutes", "private_key_jwt"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("no %q: %s", want, page.Body)
		}
	}
}
