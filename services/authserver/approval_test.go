package authserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
)

const (
	aldp      = `[{"type":"stock_order","symbol":"ALDP","side":"buy","quantity":10,"limit_price":"365.00","currency":"USD"}]`
	aldpText  = "Buy 10 shares of ALDP at no more than 365.00 USD each, 3,650.00 USD in all"
	tradeText = "stocks/read stocks/trade"
)

// trader returns the browser of a user who let a client trade, and the token.
func (h *harness) trader(client, email string) (*http.Client, string) {
	h.Helper()
	query := h.authorizeQuery(client)
	query.Set("scope", tradeText)
	browser := h.newBrowser()
	code := h.decide(browser, h.signInAs(browser, query, email), "allow").Get("code")
	return browser, h.post(h.newBrowser(), "/token", redeemForm(client, code)).JSON["access_token"].(string)
}

// order asks for an approval as the MCP server does.
func (h *harness) order(subject, details string, change ...func(url.Values)) answer {
	h.Helper()
	form := url.Values{"subject_token": {subject}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "authorization_details": {details}}
	for _, f := range change {
		f(form)
	}
	return h.post(h.newBrowser(), "/approvals", form, basic("stocksmcp")...)
}

// ordered asks for an approval and returns its id.
func (h *harness) ordered(subject, details string) string {
	h.Helper()
	a := h.order(subject, details)
	if a.Status != http.StatusCreated {
		h.Fatalf("approval: %d %s", a.Status, a.Body)
	}
	return a.JSON["approval_id"].(string)
}

// settle answers the approval page.
func (h *harness) settle(browser *http.Client, id, decision string) answer {
	h.Helper()
	form := fields(h.follow(browser, h.get(browser, approvePath(id))))
	form.Set("approval", id)
	form.Set("decision", decision)
	return h.follow(browser, h.post(browser, "/approve", form))
}

// exchangeFor exchanges a token for an approved order.
func (h *harness) exchangeFor(subject, id string, change ...func(url.Values)) answer {
	h.Helper()
	return h.exchange(subject, append([]func(url.Values){set("approval_id", id), set("scope", "stocks/trade")}, change...)...)
}

// TestApproval: an order is asked for, shown to its user in plain words, and
// approved; then one token comes of it, for this order and a minute.
func TestApproval(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	browser, access := h.trader(agent, john)
	for form, subject := range h.subjects(access) {
		asked := h.order(subject, aldp)
		id, _ := asked.JSON["approval_id"].(string)
		if diff := cmp.Diff(map[string]any{
			"approval_id": id, "approval_uri": h.cfg.Issuer() + "/approve?approval=" + id, "status": "pending", "expires_in": 599.0,
		}, asked.JSON, cmp.Comparer(func(a, b float64) bool { return max(a, b)-min(a, b) <= 1 })); asked.Status != http.StatusCreated || diff != "" {
			t.Fatalf("%s: %d (-want +got):\n%s", form, asked.Status, diff)
		}
		wantStatus := func(want string) {
			t.Helper()
			a := h.get(h.newBrowser(), "/approvals/"+id, basic("stocksmcp")...)
			if a.Status != http.StatusOK || a.JSON["status"] != want || a.JSON["approval_id"] != id {
				t.Errorf("%s: %d %s, want it %s", form, a.Status, a.Body, want)
			}
		}
		wantStatus("pending")
		if a := h.order(subject, strings.ReplaceAll(aldp, ",", ", ")); a.Status != http.StatusOK || a.JSON["approval_id"] != id {
			t.Errorf("%s, asked again: %d %s", form, a.Status, a.Body)
		}
		wantError(h, form+", not decided", h.exchangeFor(subject, id), 400, "authorization_pending")

		page := h.get(browser, approvePath(id))
		for _, want := range []string{aldpText, "“Test Agent”", "It registered itself", "Unverified", john, "once, until"} {
			if !strings.Contains(page.Body, want) {
				t.Errorf("%s: the page lacks %q: %s", form, want, page.Body)
			}
		}
		if done := h.settle(browser, id, "allow"); !strings.Contains(done.Body, "You can return to") {
			t.Fatalf("%s: %d %s", form, done.Status, done.Body)
		}
		wantStatus("approved")
		if a := h.order(subject, aldp); a.JSON["approval_id"] != id || a.JSON["status"] != "approved" {
			t.Errorf("%s, asked again after it was approved: %s", form, a.Body)
		}

		got := h.exchangeFor(subject, id)
		if got.Status != http.StatusOK || got.JSON["scope"] != "stocks/trade" || got.JSON["expires_in"].(float64) > 60 {
			t.Fatalf("%s: %d %s", form, got.Status, got.Body)
		}
		_, claims := claimsOf(t, got.JSON["access_token"].(string))
		for where, details := range map[string]any{"claims": claims["authorization_details"], "answer (RFC 9396 §7)": got.JSON["authorization_details"]} {
			if diff := cmp.Diff([]any{map[string]any{
				"type": "stock_order", "symbol": "ALDP", "side": "buy", "quantity": 10.0, "limit_price": "365.00", "currency": "USD", "approval": id,
			}}, details); diff != "" {
				t.Errorf("%s: authorization_details of the %s (-want +got):\n%s", form, where, diff)
			}
		}
		if claims["aud"] != h.cfg.APIResource() || claims["scope"] != "stocks/trade" || claims["exp"].(float64)-claims["iat"].(float64) != 60 {
			t.Errorf("%s: claims %v", form, claims)
		}
		wantStatus("used")
		wantError(h, form+", replayed", h.exchangeFor(subject, id), 400, "expired_token")
	}
	if strings.Contains(h.logs.String(), "ALDP") || strings.Contains(h.logs.String(), access) {
		t.Error("the log tells more than ids")
	}
}

// TestApprovalDeclined: what the user declined stays declined for a minute,
// and then may be asked again.
func TestApprovalDeclined(t *testing.T) {
	h := newHarness(t)
	browser, access := h.trader(h.agent(), john)
	id := h.ordered(access, aldp)
	form := fields(h.get(browser, approvePath(id)))
	form.Set("approval", id)
	form.Set("decision", "allow")
	if done := h.settle(browser, id, "deny"); !strings.Contains(done.Body, "Nothing is bought or sold") {
		t.Fatalf("%d %s", done.Status, done.Body)
	}
	for name, a := range map[string]answer{"a second thought": h.post(browser, "/approve", form), "looked at again": h.get(browser, approvePath(id))} {
		if !strings.Contains(a.Body, "You declined") {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	wantError(h, "declined", h.exchangeFor(access, id), 400, "access_denied")
	if a := h.order(access, aldp); a.Status != http.StatusOK || a.JSON["status"] != "declined" || a.JSON["approval_id"] != id {
		t.Errorf("asked again at once: %d %s", a.Status, a.Body)
	}
	h.wait(61 * time.Second)
	if again := h.ordered(access, aldp); again == id {
		t.Error("asked again after a minute, and it is the same approval")
	}
}

// TestApprovalDies: an approval ends with time, and with all that it hangs on.
func TestApprovalDies(t *testing.T) {
	for name, end := range map[string]func(h *harness, agent, user, access string){
		"time":       func(h *harness, _, _, _ string) { h.wait(10 * time.Minute) },
		"R6 consent": func(h *harness, agent, user, _ string) { must(h, h.grants.RevokeConsent(h.Context(), user, agent)) },
		"R6 user": func(h *harness, _, user, _ string) {
			must(h, h.db.SetUserStatus(h.Context(), user, store.UserSuspended))
		},
		"R6 client": func(h *harness, agent, _, _ string) { must(h, h.db.DeleteClient(h.Context(), agent)) },
		"R6 the right to trade": func(h *harness, agent, _, _ string) {
			c, err := h.db.Client(h.Context(), agent)
			must(h, err)
			c.Scope = "stocks/read"
			must(h, h.db.UpdateClient(h.Context(), c))
		},
		"the token alone": func(h *harness, _, _, access string) { must(h, h.db.RevokeToken(h.Context(), store.HashOf(access))) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			agent := h.agent()
			browser, access := h.trader(agent, john)
			user := h.introspected(access)["sub"].(string)
			jwt := h.phantom(access)
			approved, pending := h.ordered(access, aldp), h.ordered(access, strings.Replace(aldp, "ALDP", "OTHER", 1))
			h.settle(browser, approved, "allow")
			end(h, agent, user, access)
			for _, subject := range []string{access, jwt} {
				if a := h.exchangeFor(subject, approved); a.Status != http.StatusBadRequest {
					t.Errorf("exchanged: %d %s", a.Status, a.Body)
				}
			}
			if name == "the token alone" {
				return // the grant stands, and the client may refresh: the user can still decide
			}
			if a := h.get(h.newBrowser(), "/approvals/"+approved, basic("stocksmcp")...); a.JSON["status"] != "expired" {
				t.Errorf("state: %s", a.Body)
			}
			if a := h.settle(browser, pending, "allow"); strings.Contains(a.Body, "You approved") || strings.Contains(a.Body, "OTHER") {
				t.Errorf("decided: %d %s", a.Status, a.Body)
			}
		})
	}
}

func must(h *harness, err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// TestApprovalSignsInFirst: whoever is not signed in, or signed in long ago,
// proves who they are and comes back; the token then says when they did.
func TestApprovalSignsInFirst(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	browser, access := h.trader(agent, john)
	h.wait(6 * time.Minute)
	id := h.ordered(access, aldp)
	page := h.follow(browser, h.get(browser, approvePath(id)))
	if !strings.Contains(page.Body, "takes a new passcode") || strings.Contains(page.Body, "ALDP") {
		t.Fatalf("after six minutes: %d %s", page.Status, page.Body)
	}
	for name, browser := range map[string]*http.Client{"signed in long ago": browser, "not signed in": h.newBrowser()} {
		page := h.follow(browser, h.get(browser, approvePath(id)))
		form := fields(page)
		for _, path := range []string{"/consent", "/passcode"} { // nothing to skip to
			if a := h.follow(browser, h.get(browser, path+"?request="+form.Get("request"))); strings.Contains(a.Body, "ALDP") {
				t.Errorf("%s: %s shows the order", name, path)
			}
		}
		form.Set("email", john)
		form = fields(h.follow(browser, h.post(browser, "/signin", form)))
		form.Set("passcode", h.mail.passcode(john))
		if page = h.follow(browser, h.post(browser, "/passcode", form)); !strings.Contains(page.Body, aldpText) {
			t.Fatalf("%s: %d %s", name, page.Status, page.Body)
		}
		if a := h.get(browser, "/consent?request="+form.Get("request")); a.Status != http.StatusBadRequest {
			t.Errorf("%s: the sign-in can be used again: %d", name, a.Status)
		}
	}
	form := fields(h.get(browser, approvePath(id)))
	form.Set("approval", id)
	form.Set("decision", "allow")
	before := h.time().Unix()
	h.wait(5*time.Minute + time.Second) // the page was open for too long, and the approval lives
	if a := h.post(browser, "/approve", form); a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/signin?") {
		t.Errorf("a page that was open for too long: %d", a.Status)
	}
	h.wait(-5 * time.Minute)
	h.post(browser, "/approve", form)
	_, claims := claimsOf(t, h.exchangeFor(access, id).JSON["access_token"].(string))
	if at := int64(claims["auth_time"].(float64)); at < before-5 || at > before {
		t.Errorf("auth_time %d, and the user signed in at %d", at, before)
	}
}
