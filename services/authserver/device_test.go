package authserver

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/store"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// console registers a client that has no browser.
func (h *harness) console(more ...string) string {
	h.Helper()
	return h.register(map[string]any{"client_name": "Console", "token_endpoint_auth_method": "none", "grant_types": append(more, deviceGrant)})
}

func (h *harness) startDevice(client string) answer {
	h.Helper()
	a := h.post(h.newBrowser(), "/device_authorization", url.Values{"client_id": {client}, "scope": {"stocks/read"}, "resource": {h.cfg.MCPResource()}})
	if a.Status != http.StatusOK {
		h.Fatalf("device authorization: %d %s", a.Status, a.Body)
	}
	return a
}

func (h *harness) poll(client string, start answer) answer {
	h.Helper()
	return h.post(h.newBrowser(), "/token", url.Values{"grant_type": {deviceGrant}, "client_id": {client}, "device_code": {start.JSON["device_code"].(string)}})
}

// typeCode types a user code and returns the next page.
func (h *harness) typeCode(browser *http.Client, code string, header ...string) answer {
	h.Helper()
	form := fields(h.get(browser, "/device", header...))
	form.Set("user_code", code)
	return h.follow(browser, h.post(browser, "/device", form, header...))
}

// typeAndSignIn walks to the consent page of a device.
func (h *harness) typeAndSignIn(browser *http.Client, code string) answer {
	h.Helper()
	form := fields(h.typeCode(browser, code))
	form.Set("email", john)
	form = fields(h.follow(browser, h.post(browser, "/signin", form)))
	form.Set("passcode", h.mail.passcode(john))
	return h.follow(browser, h.post(browser, "/passcode", form))
}

func (h *harness) decideForDevice(browser *http.Client, page answer, decision string) answer {
	h.Helper()
	form := fields(page)
	form.Set("decision", decision)
	return h.post(browser, "/consent", form)
}

// TestDevice walks the device authorization grant (RFC 8628).
func TestDevice(t *testing.T) {
	h := newHarness(t)
	client := h.console("refresh_token")
	start := h.startDevice(client)
	code := start.JSON["user_code"].(string)
	if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(code) || len(start.JSON["device_code"].(string)) != 43 ||
		start.JSON["verification_uri"] != h.cfg.Issuer()+"/device" || start.JSON["verification_uri_complete"] != h.cfg.Issuer()+"/device?user_code="+code ||
		start.JSON["expires_in"] != 600.0 || start.JSON["interval"] != 5.0 || start.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("device authorization: %s", start.Body)
	}
	wantError(h, "before the user came", h.poll(client, start), 400, "authorization_pending")

	browser := h.newBrowser()
	if a := h.get(browser, "/device?user_code="+code); !strings.Contains(a.Body, `value="`+code+`"`) || strings.Contains(a.Body, "Console") {
		t.Errorf("the complete link: %s", a.Body)
	}
	page := h.typeAndSignIn(browser, " "+strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	for _, want := range []string{"Allow access?", "Console", "shows this code: " + code, "sent you the code", john} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the consent page does not say %q: %s", want, page.Body)
		}
	}
	h.wait(10 * time.Second)
	wantError(h, "before the user decided", h.poll(client, start), 400, "authorization_pending")
	done := h.decideForDevice(browser, page, "allow")
	if done.Status != http.StatusOK || !strings.Contains(done.Body, "You can go back to your device") || done.Header.Get("Location") != "" {
		t.Errorf("the last page: %d %s", done.Status, done.Body)
	}
	wantError(h, "another client's code", h.poll(h.console(), start), 400, "invalid_grant")
	var tokens answer
	if got := parallel(20, func() bool {
		a := h.poll(client, start)
		if a.Status == http.StatusOK {
			tokens = a // only once
		}
		return a.Status == http.StatusOK
	}); got != 1 {
		t.Fatalf("one device code was redeemed %d times", got)
	}
	if tokens.JSON["refresh_token"] == nil || tokens.JSON["scope"] != "stocks/read" {
		t.Errorf("tokens: %s", tokens.Body)
	}
	if got := h.introspected(tokens.JSON["access_token"].(string)); got["active"] != true || got["aud"] != h.cfg.MCPResource() || got["client_id"] != client {
		t.Errorf("introspection: %v", got)
	}
	wantError(h, "once more", h.poll(client, start), 400, "invalid_grant")
	if a := h.typeCode(browser, code); a.Status != http.StatusBadRequest {
		t.Errorf("a code that was used: %d", a.Status)
	}
	// The one page cannot decide twice, and nothing is remembered.
	if a := h.decideForDevice(browser, page, "deny"); a.Status != http.StatusBadRequest {
		t.Errorf("a second decision: %d", a.Status)
	}
	if a := h.typeCode(browser, h.startDevice(client).JSON["user_code"].(string)); !strings.Contains(a.Body, "Allow access?") {
		t.Errorf("the next device of a signed-in user: %s", a.Body)
	}
}

func TestDevicePolling(t *testing.T) {
	h := newHarness(t)
	client := h.console()
	t.Run("slow_down adds five seconds and lasts", func(t *testing.T) {
		start := h.startDevice(client)
		for i, step := range []struct {
			wait time.Duration
			want string
		}{
			{0, "authorization_pending"},
			{5 * time.Second, "authorization_pending"},
			{2 * time.Second, "slow_down"},              // now 10 s
			{6 * time.Second, "slow_down"},              // now 15 s
			{14 * time.Second, "slow_down"},             // now 20 s
			{20 * time.Second, "authorization_pending"}, // and still 20 s
			{15 * time.Second, "slow_down"},
		} {
			h.wait(step.wait)
			wantError(h, fmt.Sprintf("poll %d", i), h.poll(client, start), 400, step.want)
		}
	})
	t.Run("polls in parallel", func(t *testing.T) {
		start := h.startDevice(client)
		if got := parallel(10, func() bool { return h.poll(client, start).JSON["error"] == "slow_down" }); got != 9 {
			t.Errorf("%d of 10 polls at once were told to slow down, want 9", got)
		}
	})
	t.Run("denied", func(t *testing.T) {
		start, browser := h.startDevice(client), h.newBrowser()
		page := h.typeAndSignIn(browser, start.JSON["user_code"].(string))
		if a := h.decideForDevice(browser, page, "deny"); a.Status != http.StatusOK || !strings.Contains(a.Body, "You declined") {
			t.Errorf("the last page: %d %s", a.Status, a.Body)
		}
		wantError(h, "denied", h.poll(client, start), 400, "access_denied")
	})
	t.Run("expired", func(t *testing.T) {
		start, browser := h.startDevice(client), h.newBrowser()
		page := h.typeCode(browser, start.JSON["user_code"].(string))
		h.wait(grants.DeviceLifetime)
		wantError(h, "expired", h.poll(client, start), 400, "expired_token")
		if err := h.db.Expire(t.Context(), h.time()); err != nil {
			t.Fatal(err)
		}
		wantError(h, "expired, after the cleaning", h.poll(client, start), 400, "expired_token")
		if a := h.get(browser, "/signin?request="+fields(page).Get("request")); a.Status != http.StatusBadRequest {
			t.Errorf("the page outlived the code: %d", a.Status)
		}
		if a := h.typeCode(browser, start.JSON["user_code"].(string)); a.Status != http.StatusBadRequest {
			t.Errorf("an expired user code: %d", a.Status)
		}
		h.wait(time.Hour)
		if err := h.db.Expire(t.Context(), h.time()); err != nil {
			t.Fatal(err)
		}
		wantError(h, "forgotten", h.poll(client, start), 400, "invalid_grant")
	})
	t.Run("two browsers, one decision", func(t *testing.T) {
		start := h.startDevice(client)
		one, two := h.newBrowser(), h.newBrowser()
		first, second := h.typeAndSignIn(one, start.JSON["user_code"].(string)), h.typeAndSignIn(two, start.JSON["user_code"].(string))
		h.decideForDevice(one, first, "deny")
		if a := h.decideForDevice(two, second, "allow"); a.Status != http.StatusBadRequest {
			t.Errorf("a decision after the first: %d", a.Status)
		}
		wantError(h, "denied", h.poll(client, start), 400, "access_denied")
	})
	t.Run("user suspended after approving", func(t *testing.T) {
		start, browser := h.startDevice(client), h.newBrowser()
		h.decideForDevice(browser, h.typeAndSignIn(browser, start.JSON["user_code"].(string)), "allow")
		user, err := h.db.UserByEmail(t.Context(), john)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.db.SetUserStatus(t.Context(), user.ID, "suspended"); err != nil {
			t.Fatal(err)
		}
		wantError(h, "suspended", h.poll(client, start), 400, "invalid_grant")
	})
}

// TestDeviceRedeemedOnce: of polls that find the approval at the same moment,
// one gets tokens.
func TestDeviceRedeemedOnce(t *testing.T) {
	h := newHarness(t)
	id := h.console()
	client, err := h.clients.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		start, browser := h.startDevice(id), h.newBrowser()
		h.decideForDevice(browser, h.typeAndSignIn(browser, start.JSON["user_code"].(string)), "allow")
		if got := parallel(50, func() bool {
			_, err := h.grants.RedeemDevice(t.Context(), client, start.JSON["device_code"].(string))
			return err == nil
		}); got != 1 {
			t.Errorf("one device code was redeemed %d times", got)
		}
	}
}

// TestDeviceIsAlwaysAskedAbout: not even a reviewed client, once allowed, gets
// to a device without a question: whose device it is nobody knows (RFC 8628
// §5.4).
func TestDeviceIsAlwaysAskedAbout(t *testing.T) {
	h := newHarness(t)
	user, err := h.db.UserByEmail(t.Context(), john)
	if err != nil {
		t.Fatal(err)
	}
	reviewed := store.Client{ID: "reviewed", Registration: store.RegisteredByReview, Remember: true}
	r := store.Request{UserID: user.ID, ClientID: reviewed.ID, Client: reviewed, Resource: h.cfg.MCPResource(), Scope: "stocks/read"}
	if err := h.db.AddConsent(t.Context(), store.Consent{UserID: r.UserID, ClientID: r.ClientID, Resource: r.Resource, Scope: r.Scope, GivenAt: h.time()}); err != nil {
		t.Fatal(err)
	}
	for device, want := range map[string]bool{"": false, "device": true} {
		r.Device = device
		if ask, err := h.grants.NeedsConsent(t.Context(), r); err != nil || ask != want {
			t.Errorf("device %q: asked %v (%v), want %v", device, ask, err, want)
		}
	}
}

func TestDeviceRefusals(t *testing.T) {
	h := newHarness(t)
	client, agent := h.console(), h.agent()
	begin := func(form url.Values, header ...string) answer {
		return h.post(h.newBrowser(), "/device_authorization", form, header...)
	}
	wantError(h, "unknown client", begin(url.Values{"client_id": {"nobody"}}), 401, "invalid_client")
	wantError(h, "no client", begin(url.Values{}), 401, "invalid_client")
	wantError(h, "P16 a client without the grant", begin(url.Values{"client_id": {agent}}), 400, "unauthorized_client")
	wantError(h, "P16 its poll", h.post(h.newBrowser(), "/token", url.Values{"grant_type": {deviceGrant}, "client_id": {agent}, "device_code": {"x"}}), 400, "unauthorized_client")
	wantError(h, "scope", begin(url.Values{"client_id": {client}, "scope": {"admin"}}), 400, "invalid_scope")
	wantError(h, "resource", begin(url.Values{"client_id": {client}, "resource": {h.cfg.APIResource()}}), 400, "invalid_target")
	wantError(h, "no device_code", h.post(h.newBrowser(), "/token", url.Values{"grant_type": {deviceGrant}, "client_id": {client}}), 400, "invalid_request")
	wantError(h, "unknown device_code", h.post(h.newBrowser(), "/token", url.Values{"grant_type": {deviceGrant}, "client_id": {client}, "device_code": {"x"}}), 400, "invalid_grant")
	if a := h.get(h.newBrowser(), "/device_authorization?client_id="+client); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", a.Status)
	}
	if a := h.get(h.newBrowser(), "/authorize?"+h.authorizeQuery(client).Encode()); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
		t.Errorf("a device client at /authorize: %d", a.Status)
	}
	// The page belongs to this browser and this site.
	browser := h.newBrowser()
	form := fields(h.get(browser, "/device"))
	form.Set("user_code", h.startDevice(client).JSON["user_code"].(string))
	for name, a := range map[string]answer{
		"O14 foreign origin":  h.post(browser, "/device", form, "Origin", "https://evil.example"),
		"O14 another browser": h.post(h.newBrowser(), "/device", form),
		"O14 no form token":   h.post(browser, "/device", url.Values{"user_code": form["user_code"]}),
	} {
		if a.Status != http.StatusForbidden || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
	if a := h.post(browser, "/device", form); a.Status != http.StatusSeeOther {
		t.Errorf("the right form: %d %s", a.Status, a.Body)
	}
}

// TestUserCodeGuessing: guesses are limited by network, by site and in all,
// where they weigh as much as devices wait; right codes cost nothing, and a
// guess that comes with others at once counts as well.
func TestUserCodeGuessing(t *testing.T) {
	h := newHarness(t)
	client := h.console()
	from := func(ip string) []string { return []string{"X-Forwarded-For", ip} }
	browser := h.newBrowser()
	form := fields(h.get(browser, "/device"))
	form.Set("user_code", "BBBB-BBBB")
	if got := parallel(40, func() bool {
		return h.post(browser, "/device", form, from("192.0.2.1")...).Status == http.StatusBadRequest
	}); got != userCodesPerNetwork {
		t.Errorf("%d guesses of one address were compared, want %d", got, userCodesPerNetwork)
	}
	right := h.startDevice(client).JSON["user_code"].(string)
	h.startDevice(client)
	if a := h.typeCode(browser, right, from("192.0.2.1")...); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("over the limit: %d", a.Status)
	}
	for range 2 * userCodesPerNetwork { // the right one is free
		if a := h.typeCode(browser, right, from("192.0.2.2")...); a.Status != http.StatusOK {
			t.Fatalf("another address: %d %s", a.Status, a.Body)
		}
	}
	compared := 0
	for i := range userCodesPerSite + 10 { // a network each, of one site
		if h.post(browser, "/device", form, from(fmt.Sprintf("2001:db8:7:%x::1", i))...).Status == http.StatusBadRequest {
			compared++
		}
	}
	if compared != userCodesPerSite {
		t.Errorf("%d guesses of one site were compared, want %d", compared, userCodesPerSite)
	}
	if a := h.typeCode(browser, right, from("2001:db8:8::1")...); a.Status != http.StatusOK {
		t.Errorf("another site: %d", a.Status)
	}
	h.userCodes.all = limits.New(7, 7, userCodeWindow, h.time) // with two that wait, three guesses
	for i, want := range []int{400, 400, 400, 429} {
		if a := h.post(browser, "/device", form, from(fmt.Sprintf("198.51.%d.1", i))...); a.Status != want {
			t.Errorf("guess %d of all: %d, want %d", i, a.Status, want)
		}
	}
	h.wait(userCodeWindow)
	right = h.startDevice(client).JSON["user_code"].(string)
	if a := h.typeCode(browser, right, from("192.0.2.1")...); a.Status != http.StatusOK {
		t.Errorf("an hour later: %d", a.Status)
	}
}

// TestOpenDevices: what may wait of one client is bounded.
func TestOpenDevices(t *testing.T) {
	h := newHarness(t)
	client := h.console()
	start := func(ip string) answer {
		return h.post(h.newBrowser(), "/device_authorization", url.Values{"client_id": {client}}, "X-Forwarded-For", ip)
	}
	opened := 0
	for range 60 {
		if a := start("192.0.2.1"); a.Status == http.StatusOK {
			opened++
		} else if wantError(h, "too many", a, 429, "slow_down"); a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if opened != 50 {
		t.Errorf("%d devices wait, want 50", opened)
	}
	if a := start("192.0.2.2"); a.Status != http.StatusOK {
		t.Errorf("another address: %d %s", a.Status, a.Body)
	}
	h.wait(grants.DeviceLifetime)
	if a := start("192.0.2.1"); a.Status != http.StatusOK {
		t.Errorf("after they expired: %d %s", a.Status, a.Body)
	}
}

// TestDeviceSecretsAtRest: neither code is in the database.
func TestDeviceSecretsAtRest(t *testing.T) {
	h := newHarness(t)
	start := h.startDevice(h.console())
	h.typeCode(h.newBrowser(), start.JSON["user_code"].(string))
	dump := h.dump()
	for _, name := range []string{"device_code", "user_code"} {
		secret := start.JSON[name].(string)
		if strings.Contains(dump, secret) || strings.Contains(dump, strings.ReplaceAll(secret, "-", "")) || strings.Contains(h.logs.String(), secret) {
			t.Errorf("the %s is in the database or the log", name)
		}
	}
}

func FuzzParseUserCode(f *testing.F) {
	for _, seed := range []string{"WDJB-MJHT", "wdjbmjht", " w d j b-m j h t ", "AAAA-AAAA", "", "WDJB-MJH", "WDJB-MJHTT", "ẞDJBMJHT", "\x00", strings.Repeat("-", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := grants.ParseUserCode(typed)
		if !ok {
			return
		}
		if again, ok := grants.ParseUserCode(grants.ShowUserCode(code)); !ok || again != code || len(code) != 8 {
			t.Errorf("%q is read as %q, and that as %q", typed, code, again)
		}
	})
}
