package authserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/audit"
)

// report sends events as a service does.
func (h *harness) report(client, body string) answer {
	h.Helper()
	r := h.request(http.MethodPost, audit.Path, body)
	r.Header.Set("Content-Type", "application/json")
	if client != "" {
		r.SetBasicAuth(client, "client-"+client+secretFor)
	}
	return h.do(h.newBrowser(), r)
}

func reported(id string, kind audit.Kind) string {
	return fmt.Sprintf(`{"id":%q,"time":"2026-07-28T12:00:00Z","service":"authserver","kind":%q,"decision":"allowed","user":"user-1"}`, id, kind)
}

func TestCollectAudit(t *testing.T) {
	h := newHarness(t)
	good := reported("e1", audit.ToolCall)
	for name, tt := range map[string]struct {
		client, body string
		status       int
	}{
		"kept":                   {"stocksmcp", "[" + good + "]", 204},
		"sent again":             {"stocksmcp", "[" + good + "," + reported("e2", audit.Lost) + "]", 204},
		"nothing":                {"stocksapi", "[]", 204},
		"another's kind":         {"stocksapi", "[" + reported("e3", audit.ToolCall) + "]", 400},
		"a sign-in":              {"gateway", "[" + reported("e4", audit.SignIn) + "]", 400},
		"one bad, none kept":     {"stocksmcp", "[" + reported("e5", audit.ToolCall) + "," + reported("", audit.ToolCall) + "]", 400},
		"a long id":              {"stocksmcp", "[" + reported(strings.Repeat("e", 65), audit.ToolCall) + "]", 400},
		"no time":                {"stocksmcp", `[{"id":"e6","kind":"tool.call","decision":"allowed"}]`, 400},
		"no decision":            {"stocksmcp", `[{"id":"e7","time":"2026-07-28T12:00:00Z","kind":"tool.call"}]`, 400},
		"not JSON":               {"stocksmcp", "event", 400},
		"too large":              {"stocksmcp", "[" + good + strings.Repeat(" ", maxBody) + "]", 400},
		"not a service":          {"stocks-web", "[" + good + "]", 400},
		"without authentication": {"", "[" + good + "]", 401},
	} {
		if a := h.report(tt.client, tt.body); a.Status != tt.status {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	r := h.request(http.MethodPost, audit.Path, "[]")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("stocksmcp", "client-stocksmcp"+secretFor)
	wantError(h, "a form", h.do(h.newBrowser(), r), 400, "invalid_request")

	found, err := h.trail.Search(t.Context(), trail.Filter{User: "user-1"})
	var got []string
	for _, e := range found {
		got = append(got, e.ID+" "+e.Service) // whose it is nobody can choose
	}
	if diff := cmp.Diff(2, len(got)); err != nil || diff != "" || !strings.Contains(strings.Join(got, ", "), "e1 stocksmcp") {
		t.Errorf("%v, %v", got, err)
	}
}

// TestHostileWitness: a service that was taken over can make up what it alone
// reports, but neither swell the trail nor keep it from growing old.
func TestHostileWitness(t *testing.T) {
	h := newHarness(t)
	long, many := strings.Repeat("x", 10_000), map[string]string{}
	for i := range 50 {
		many[fmt.Sprintf("%02d", i)] = long[:1000]
	}
	raw, err := json.Marshal([]audit.Event{{
		ID: "e1", Time: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Kind: audit.ToolCall, Decision: audit.Allowed,
		User: long, Detail: many, Actors: slices.Repeat([]string{"a"}, 1000),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if a := h.report("stocksmcp", string(raw)); a.Status != http.StatusNoContent {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	found := h.trailOf(trail.Filter{})
	if len(found) != 1 || found[0].Time.After(h.time()) {
		t.Fatalf("%d events, %v", len(found), lines(found))
	}
	if raw, err = json.Marshal(found[0].Event); err != nil || len(raw) > 25<<10 {
		t.Errorf("%d bytes are kept, %v", len(raw), err)
	}
}

// TestNobodyFillsTheTrail: what a user or a client may do as often as they
// like is no event when it does nothing, and is not done too often.
func TestNobodyFillsTheTrail(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	const enough = 5
	h.grants.Refreshes = limits.New(enough, enough, time.Hour, h.time)
	refresh := h.tokens(agent, john).JSON["refresh_token"].(string)
	for n := range enough {
		a := h.refresh(agent, refresh)
		if a.Status != http.StatusOK {
			t.Fatalf("refresh %d: %d %s", n, a.Status, a.Body)
		}
		refresh = a.JSON["refresh_token"].(string)
	}
	a := h.refresh(agent, refresh)
	wantError(h, "one too many", a, http.StatusTooManyRequests, "slow_down")
	if a.Header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
	}
	h.wait(time.Hour)
	if a := h.refresh(agent, refresh); a.Status != http.StatusOK {
		t.Errorf("an hour later, with the token that was not used up: %d %s", a.Status, a.Body)
	}

	browser := h.newBrowser()
	h.signInAs(browser, h.authorizeQuery(agent), john)
	form := fields(h.get(browser, "/account"))
	form.Set("action", "take back")
	for n := range accountChangesPerMinute {
		form.Set("client", fmt.Sprintf("made-up-%d", n))
		if a := h.post(browser, "/account", form); a.Status != http.StatusSeeOther {
			t.Fatalf("take back %d: %d", n, a.Status)
		}
	}
	if a := h.post(browser, "/account", form); a.Status != http.StatusTooManyRequests {
		t.Errorf("one too many: %d", a.Status)
	}
	if found := h.trailOf(trail.Filter{Kind: audit.ConsentWithdrawn}); len(found) != 1 || found[0].Decision != audit.Refused {
		t.Errorf("%q, of which only the last is worth a word", lines(found))
	}
}

// TestAuditVerify: the command finds out what somebody did to the file.
func TestAuditVerify(t *testing.T) {
	h := newHarness(t)
	for i := range 3 {
		h.report("stocksmcp", "["+reported(fmt.Sprintf("event-%d", i), audit.ToolCall)+"]")
	}
	environ := []string{"SECRETS_DIR=" + h.cfg.SecretsDir, "DATABASE_FILE=" + h.cfg.DatabaseFile}
	verify := func(args ...string) string {
		var out bytes.Buffer
		if err := AuditVerify(args)(t.Context(), environ, &out); err != nil {
			return err.Error()
		}
		return out.String()
	}
	head := h.trail.Head().String()
	if got := verify(head); !strings.Contains(got, "is intact: 3 events") || !strings.Contains(got, head) {
		t.Error(got)
	}
	if got := verify("4:00"); !strings.Contains(got, "NOT intact, after 3 events") {
		t.Error(got)
	}
	if got := verify("1", "2"); !strings.Contains(got, "takes one head") {
		t.Error(got)
	}
	environ[1] = "DATABASE_FILE=" + filepath.Join(t.TempDir(), "authserver.db")
	if got := verify(); !strings.Contains(got, "AUDIT_FILE: ") {
		t.Error(got)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(environ[1]), "audit.db")); err == nil {
		t.Error("a trail was made by checking")
	}
}

// trailOf returns what the trail says, oldest first.
func (h *harness) trailOf(f trail.Filter) []trail.Entry {
	h.Helper()
	h.trail.Flush()
	f.Limit = 1000
	found, err := h.trail.Search(h.Context(), f)
	if err != nil {
		h.Fatal(err)
	}
	slices.Reverse(found)
	return found
}

func lines(entries []trail.Entry) (out []string) {
	for _, e := range entries {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Decision, e.Reason)))
	}
	return out
}

// TestTrailOfOneAccess: from registration to an exchanged token everything is
// there, joined, and nothing that lets anybody in.
func TestTrailOfOneAccess(t *testing.T) {
	h := newHarness(t)
	agent, browser := h.agent(), h.newBrowser()
	page := h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(agent).Encode()))
	form := fields(page)
	form.Set("email", john)
	page = h.follow(browser, h.post(browser, "/signin", form))
	passcode := h.mail.passcode(john)
	form = fields(page)
	form.Set("passcode", "00000000")
	h.post(browser, "/passcode", form)
	form.Set("passcode", passcode)
	page = h.follow(browser, h.post(browser, "/passcode", form))
	code := h.decide(browser, page, "allow").Get("code")
	tokens := h.post(h.newBrowser(), "/token", redeemForm(agent, code))
	access, refresh := tokens.JSON["access_token"].(string), tokens.JSON["refresh_token"].(string)
	_, claims := claimsOf(t, h.phantom(access))
	exchanged := h.post(h.newBrowser(), "/token", exchangeForm(h.phantom(access), h.cfg.APIResource()), basic("stocksmcp")...)
	h.post(h.newBrowser(), "/token", redeemForm(agent, code)) // again: a replay

	all := h.trailOf(trail.Filter{})
	want := []string{
		"client.registered allowed", "passcode.sent allowed", "signin refused wrong passcode", "signin allowed", "consent allowed",
		"token.issued allowed", "token.exchanged allowed",
		"token.reused refused invalid_grant: the code is unknown, expired or already used; start a new authorization request",
	}
	if diff := cmp.Diff(want, lines(all)); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{
		"passcode": passcode, "code": code, "access token": access, "refresh token": refresh, "JWT": exchanged.JSON["access_token"].(string), "address": john,
	} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("the %s is in the trail", name)
		}
	}
	grant := claims["grant_id"].(string)
	if got := lines(h.trailOf(trail.Filter{Grant: grant})); len(got) != 4 {
		t.Errorf("of the grant: %q", got)
	}
	for _, e := range all[1:] { // what a service says later leads back to the passcode
		if e.User != claims["sub"] || e.Client != agent {
			t.Errorf("%s is of user %q and client %q", e.Kind, e.User, e.Client)
		}
	}
	h.report("stocksapi", fmt.Sprintf(`[{"id":"api-1","time":%q,"kind":"api.decision","decision":"allowed","request":"request-99","grant":%q}]`, h.time().Add(time.Second).Format(time.RFC3339), grant))
	story, err := h.trail.Story(t.Context(), "request-99")
	want = append(append([]string{}, want[1:]...), "api.decision allowed")
	if diff := cmp.Diff(want, lines(story)); err != nil || diff != "" {
		t.Errorf("the story (-want +got): %v\n%s", err, diff)
	}
	if e := all[6]; len(e.Actors) != 1 || e.Actors[0] != "stocksmcp" || e.Audience != h.cfg.APIResource() || !strings.HasPrefix(e.Token, claims["jti"].(string)+".") {
		t.Errorf("exchange: %+v", e)
	}
}

// TestTrailOfRefusals: who was turned away is there too, and why.
func TestTrailOfRefusals(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	tests := map[string]struct {
		do   func()
		want string
	}{
		"an unknown client": {func() { h.get(h.newBrowser(), "/authorize?client_id=nobody") }, "authorization refused "},
		"no PKCE": {func() {
			q := h.authorizeQuery(agent)
			q.Del("code_challenge")
			h.get(h.newBrowser(), "/authorize?"+q.Encode())
		}, "authorization refused invalid_request"},
		"a wrong secret": {func() {
			h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"client_credentials"}}, "Authorization", "Basic c3RvY2tzbWNwOng=")
		}, "client.authentication refused invalid_client"},
		"a made-up code": {func() { h.post(h.newBrowser(), "/token", redeemForm(agent, "made-up")) }, "token.issued refused invalid_grant"},
		"an exchange of nothing": {func() {
			h.post(h.newBrowser(), "/token", exchangeForm("made.up.token", h.cfg.APIResource()), basic("stocksmcp")...)
		}, "token.exchanged refused invalid_request"},
		"the user declined": {func() {
			browser := h.newBrowser()
			h.decide(browser, h.signInAs(browser, h.authorizeQuery(agent), john), "deny")
		}, "consent refused access_denied: the user declined"},
		"a suspended user": {func() {
			browser := h.newBrowser()
			form := fields(h.follow(browser, h.get(browser, "/authorize?"+h.authorizeQuery(agent).Encode())))
			form.Set("email", "suspended.user@demo.example")
			h.post(browser, "/signin", form)
		}, "passcode.sent refused no approved user"},
	}
	for name, tt := range tests {
		before := len(h.trailOf(trail.Filter{}))
		tt.do()
		got := lines(h.trailOf(trail.Filter{}))[before:]
		if len(got) == 0 || !strings.HasPrefix(got[len(got)-1], tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func FuzzReadEvents(f *testing.F) {
	for _, seed := range []string{"[" + reported("e1", audit.ToolCall) + "]", "[]", "null", "[null]", `[{"id":"a","time":"9999-12-31T23:59:59Z"}]`, `[{"id":"a","detail":{"a":1}}]`} {
		f.Add([]byte(seed))
	}
	kinds := witnesses["stocksmcp"]
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := readEvents(body, "stocksmcp", kinds, time.Unix(2_000_000_000, 0))
		if err != nil {
			return
		}
		for _, e := range events {
			raw, err := json.Marshal(e)
			if err != nil {
				t.Fatalf("an event that was read cannot be kept: %v", err)
			}
			var again audit.Event
			if err := json.Unmarshal(raw, &again); err != nil || again.Service != "stocksmcp" || !again.Time.Equal(e.Time) || again.Time.Before(time.Unix(0, 0)) || again.Time.After(time.Unix(2_000_000_100, 0)) || len(raw) > 200<<10 {
				t.Errorf("%s, %v", raw, err)
			}
		}
	})
}
