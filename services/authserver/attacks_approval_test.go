package authserver

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestApprovalAttacks (O14, O16): whoever is not the client, the grant, the resource
// server and the order that were approved gets nothing for it.
func TestApprovalAttacks(t *testing.T) {
	h := newHarness(t)
	agent, other := h.agent(), h.agent()
	browser, access := h.trader(agent, john)
	_, sibling := h.trader(agent, john)   // the same user and client, another grant
	_, foreign := h.trader(other, john)   // the same user, another client
	hers, ofJane := h.trader(agent, jane) // another user
	read := h.tokens(agent, john).JSON["access_token"].(string)

	t.Run("who may ask", func(t *testing.T) {
		form := url.Values{"subject_token": {access}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "authorization_details": {aldp}}
		for _, client := range []string{"gateway", "stocks-web", "stocks-report"} {
			wantError(h, client, h.post(h.newBrowser(), "/approvals", form, basic(client)...), 400, "unauthorized_client")
		}
		wantError(h, "a public client", h.post(h.newBrowser(), "/approvals", with(form, "client_id", agent)), 400, "unauthorized_client")
		wantError(h, "nobody", h.post(h.newBrowser(), "/approvals", form), 401, "invalid_client")
		wantError(h, "a token that may only read", h.order(read, aldp), 400, "invalid_scope")
		wantError(h, "an unknown token", h.order("x", aldp), 400, "invalid_request")
		wantError(h, "another type of token", h.order(access, aldp, set("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")), 400, "invalid_request")
		wantError(h, "an exchanged token", h.order(h.exchange(access).JSON["access_token"].(string), aldp), 400, "invalid_request")
		own := h.post(h.newBrowser(), "/token", ownForm(), basic("stocks-report")...).JSON["access_token"].(string)
		wantError(h, "a token of no user", h.order(own, aldp), 400, "invalid_request")
		for _, details := range []string{"", "[]", strings.Replace(aldp, "10", "1e1", 1), strings.Replace(aldp, `"currency"`, `"approval":"x","currency"`, 1)} {
			wantError(h, details, h.order(access, details), 400, "invalid_authorization_details")
		}
	})

	id := h.ordered(access, aldp)
	t.Run("who may see and decide", func(t *testing.T) {
		nothing := func(name string, a answer) {
			t.Helper()
			if strings.Contains(a.Body, "ALDP") || strings.Contains(a.Body, "365") || strings.Contains(a.Body, "Test Agent") {
				t.Errorf("%s is told of the order: %s", name, a.Body)
			}
		}
		stranger := h.newBrowser()
		page := h.follow(stranger, h.get(stranger, approvePath(id)))
		if nothing("nobody", page); !strings.Contains(page.Body, "Send me a passcode") {
			t.Errorf("nobody is not asked to sign in: %s", page.Body)
		}
		if a := h.get(hers, approvePath(id)); a.Status != http.StatusNotFound {
			t.Errorf("another user: %d %s", a.Status, a.Body)
		} else {
			nothing("another user", a)
		}
		unknown := h.get(hers, approvePath(strings.Repeat("A", 26)))
		if diff := cmp.Diff(withoutRequestID(unknown.Body), withoutRequestID(h.get(hers, approvePath(id)).Body)); diff != "" {
			t.Errorf("another user can tell an id that exists:\n%s", diff)
		}
		form := fields(h.get(hers, "/approve?approval="+h.ordered(ofJane, aldp)))
		form.Set("approval", id)
		form.Set("decision", "allow")
		if a := h.post(hers, "/approve", form); a.Status != http.StatusNotFound {
			t.Errorf("another user decides: %d %s", a.Status, a.Body)
		}
		mine := fields(h.get(browser, approvePath(id)))
		mine.Set("approval", id)
		mine.Set("decision", "allow")
		if a := h.post(browser, "/approve", with(mine, "csrf", form.Get("csrf"))); a.Status != http.StatusForbidden {
			t.Errorf("O14 another session's form: %d", a.Status)
		}
		if a := h.post(browser, "/approve", mine, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); a.Status != http.StatusForbidden {
			t.Errorf("O14 another site's form: %d", a.Status)
		}
		if a := h.post(browser, "/approve", with(mine, "decision", "maybe")); a.Status != http.StatusBadRequest {
			t.Errorf("no decision: %d", a.Status)
		}
		for _, bad := range []string{"", "x", "../../account", id + "&next=//evil.example", strings.ToLower(id)} {
			if a := h.get(h.newBrowser(), "/approve?"+url.Values{"approval": {bad}}.Encode()); a.Status != http.StatusNotFound {
				t.Errorf("id %q: %d, Location %q", bad, a.Status, a.Header.Get("Location"))
			}
		}
		for _, client := range []string{"gateway", "stocks-web"} {
			if a := h.get(h.newBrowser(), "/approvals/"+id, basic(client)...); a.Status != http.StatusNotFound {
				t.Errorf("%s reads it: %d %s", client, a.Status, a.Body)
			}
		}
		if a := h.get(h.newBrowser(), "/approvals/"+id); a.Status != http.StatusUnauthorized {
			t.Errorf("nobody reads it: %d", a.Status)
		}
	})

	h.settle(browser, id, "allow")
	t.Run("who may use it", func(t *testing.T) {
		for name, subject := range map[string]string{"another grant": sibling, "another client": foreign, "another user": ofJane} {
			for form, subject := range h.subjects(subject) {
				wantError(h, name+", "+form, h.exchangeFor(subject, id), 400, "expired_token")
			}
		}
		wantError(h, "a token that may only read", h.exchangeFor(read, id), 400, "invalid_scope")
		wantError(h, "for reading", h.exchangeFor(access, id, set("scope", "stocks/read")), 400, "invalid_scope")
		wantError(h, "for another audience", h.exchangeFor(access, id, set("resource", h.cfg.MCPResource())), 400, "invalid_target")
		wantError(h, "no approval", h.exchange(access, set("scope", tradeText)), 400, "invalid_scope")
		wantError(h, "an empty approval", h.exchangeFor(access, ""), 400, "invalid_scope")
		wantError(h, "an unknown approval", h.exchangeFor(access, strings.Repeat("A", 26)), 400, "expired_token")
		wantError(h, "two approvals", h.exchangeFor(access, id, func(f url.Values) { f.Add("approval_id", id) }), 400, "invalid_request")
	})

	t.Run("parallel exchanges", func(t *testing.T) {
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			form := exchangeForm(access, h.cfg.APIResource())
			form.Set("approval_id", id)
			form.Set("scope", tradeText)
			client := h.newBrowser()
			wg.Go(func() {
				if a := h.post(client, "/token", form, basic("stocksmcp")...); a.Status == http.StatusOK {
					won.Add(1)
				} else if a.JSON["error"] != "expired_token" {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d exchanges succeeded", won.Load())
		}
	})

	t.Run("bounded", func(t *testing.T) {
		for _, symbol := range []string{"A", "B", "C", "D", "E"} {
			h.ordered(access, strings.Replace(aldp, "ALDP", symbol, 1))
		}
		full := h.order(access, strings.Replace(aldp, "ALDP", "F", 1))
		if wantError(h, "a sixth", full, 429, "slow_down"); full.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
}

func withoutRequestID(body string) string {
	before, _, _ := strings.Cut(body, `<p class="hint">Request`)
	return before
}
