package authserver

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
)

// manage calls a registration's own address (RFC 7592).
func (h *harness) manage(method, clientID, token string, body any) answer {
	h.Helper()
	var raw []byte
	header := []string{"Content-Type", "application/json"}
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			h.Fatal(err)
		}
	}
	if token != "" {
		header = append(header, "Authorization", "Bearer "+token)
	}
	return h.do(h.newBrowser(), h.request(method, "/register/"+clientID, string(raw), header...))
}

func agentMetadata() map[string]any {
	return map[string]any{
		"client_name": "Test Agent", "redirect_uris": []string{callback}, "token_endpoint_auth_method": "none",
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
	}
}

func plus(m map[string]any, pairs ...any) map[string]any {
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func TestRegistrationManagement(t *testing.T) {
	h := newHarness(t)
	registered := h.registerRaw(agentMetadata())
	id, token := registered.JSON["client_id"].(string), registered.JSON["registration_access_token"].(string)
	if len(token) != 43 || registered.JSON["registration_client_uri"] != h.cfg.Issuer()+"/register/"+id {
		t.Fatalf("register: %s", registered.Body)
	}
	if strings.Contains(h.dump(), token) || strings.Contains(h.logs.String(), token) {
		t.Error("the registration access token is in the database or the log")
	}

	read := h.manage(http.MethodGet, id, token, nil)
	if diff := cmp.Diff(registered.JSON, read.JSON); diff != "" || read.Status != http.StatusOK || read.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("read: %d (-registered +read):\n%s", read.Status, diff)
	}

	updated := h.manage(http.MethodPut, id, token, plus(agentMetadata(), "client_id", id, "client_name", "New Name", "redirect_uris", []string{"https://app.example/cb"}))
	want := plus(registered.JSON, "client_name", "New Name", "redirect_uris", []any{"https://app.example/cb"})
	if diff := cmp.Diff(want, updated.JSON); diff != "" || updated.Status != http.StatusOK {
		t.Errorf("update: %d (-want +got):\n%s", updated.Status, diff)
	}
	if a := h.get(h.newBrowser(), "/authorize?"+h.authorizeQuery(id).Encode()); a.Status != http.StatusBadRequest {
		t.Errorf("the redirect URI that was taken back still works: %d", a.Status)
	}

	// D1, D2 once more: the same policy as at registration.
	for name, tt := range map[string]struct {
		change map[string]any
		code   string
	}{
		"D1 javascript":       {map[string]any{"redirect_uris": []string{"javascript:alert(1)"}}, "invalid_redirect_uri"},
		"D2 fragment":         {map[string]any{"redirect_uris": []string{"https://a.example/#x"}}, "invalid_redirect_uri"},
		"no redirect URIs":    {map[string]any{"redirect_uris": nil}, "invalid_redirect_uri"},
		"grant type":          {map[string]any{"grant_types": []string{"client_credentials"}}, "invalid_client_metadata"},
		"another client's id": {map[string]any{"client_id": h.agent()}, "invalid_client_metadata"},
		"no id":               {map[string]any{"client_id": nil}, "invalid_client_metadata"},
		"a secret of its own": {map[string]any{"client_secret": "chosen"}, "invalid_client_metadata"},
		"token sent back":     {map[string]any{"registration_access_token": token}, "invalid_request"},
		"issued at sent back": {map[string]any{"client_id_issued_at": 1}, "invalid_request"},
	} {
		body := plus(agentMetadata(), "client_id", id)
		for k, v := range tt.change {
			body[k] = v
		}
		wantError(h, name, h.manage(http.MethodPut, id, token, body), 400, tt.code)
	}
	if after := h.manage(http.MethodGet, id, token, nil); !cmp.Equal(after.JSON, updated.JSON) {
		t.Errorf("a refused update changed something: %s", after.Body)
	}
}

// TestUpdateRaisesNothing: attack D5, by an update.
func TestUpdateRaisesNothing(t *testing.T) {
	h := newHarness(t)
	a := h.registerRaw(agentMetadata())
	id, token := a.JSON["client_id"].(string), a.JSON["registration_access_token"].(string)
	updated := h.manage(http.MethodPut, id, token, plus(agentMetadata(), "client_id", id, "client_type", "web", "client_assurance_level", 3,
		"Assurance", 3, "Registration", "preset", "Remember", true, "scope", "stocks/read admin", "resources", []string{h.cfg.APIResource()}, "region", "Asia"))
	if updated.Status != http.StatusOK || updated.JSON["scope"] != "stocks/read" {
		t.Fatalf("update: %d %s", updated.Status, updated.Body)
	}
	got := h.introspected(h.tokens(id, john).JSON["access_token"].(string))
	if got["client_type"] != "mcp" || got["client_assurance_level"] != 1.0 || got["region"] != "USA" || got["aud"] != h.cfg.MCPResource() {
		t.Errorf("claims: %v", got)
	}
	if page := h.signInAs(h.newBrowser(), h.authorizeQuery(id), john); !strings.Contains(page.Body, "It registered itself") {
		t.Error("the consent page says something else of how it registered")
	}

	// A key from the beginning is worth more, but this client was known without.
	key := ecKey()
	updated = h.manage(http.MethodPut, id, token, keyMetadata(map[string]any{"client_id": id}, key))
	if updated.Status != http.StatusOK {
		t.Fatalf("update to a key: %d %s", updated.Status, updated.Body)
	}
	proven := h.post(h.newBrowser(), "/token", asserted(redeemForm(id, h.code(h.authorizeQuery(id), john)), key.sign(h.assertion(id), nil)))
	if got := h.introspected(proven.JSON["access_token"].(string)); got["client_assurance_level"] != 1.0 {
		t.Errorf("claims after an update to a key: %v", got)
	}
}

func TestUpdateSecret(t *testing.T) {
	h := newHarness(t)
	confidential := plus(agentMetadata(), "token_endpoint_auth_method", "client_secret_post")
	a := h.registerRaw(confidential)
	id, token, secret := a.JSON["client_id"].(string), a.JSON["registration_access_token"].(string), a.JSON["client_secret"].(string)
	works := func(secret string) bool {
		form := url.Values{"client_id": {id}, "token": {"x"}}
		if secret != "" {
			form.Set("client_secret", secret)
		}
		return h.post(h.newBrowser(), "/revoke", form).Status == http.StatusOK
	}
	put := func(pairs ...any) answer {
		return h.manage(http.MethodPut, id, token, plus(plus(agentMetadata(), "client_id", id), pairs...))
	}
	if u := put("token_endpoint_auth_method", "client_secret_post", "client_secret", secret); u.Status != http.StatusOK || u.JSON["client_secret"] != nil || !works(secret) {
		t.Errorf("a secret that is sent back stays: %d %s", u.Status, u.Body)
	}
	if u := put("token_endpoint_auth_method", "none"); u.Status != http.StatusOK || works(secret) || !works("") {
		t.Errorf("a client that became public: %d %s", u.Status, u.Body)
	}
	u := put("token_endpoint_auth_method", "client_secret_post")
	fresh, _ := u.JSON["client_secret"].(string)
	if u.Status != http.StatusOK || fresh == "" || fresh == secret || !works(fresh) || works(secret) || works("") {
		t.Errorf("a client that became confidential: %d %s", u.Status, u.Body)
	}
}

// TestRegistrationAccess: attack D8. Whatever is wrong, the answer is the same.
func TestRegistrationAccess(t *testing.T) {
	h := newHarness(t)
	mine, other := h.registerRaw(agentMetadata()), h.registerRaw(agentMetadata())
	id, token := mine.JSON["client_id"].(string), mine.JSON["registration_access_token"].(string)
	body := plus(agentMetadata(), "client_id", id, "client_name", "Hijacked")
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		var answers []string
		for name, a := range map[string]answer{
			"D8 wrong token":            h.manage(method, id, strings.Repeat("A", 43), body),
			"D8 another client's token": h.manage(method, id, other.JSON["registration_access_token"].(string), body),
			"D8 unknown client":         h.manage(method, "dcr-nobody", token, body),
			"D8 reviewed client":        h.manage(method, "stocks-web", token, body),
			"D8 client with odd id":     h.manage(method, url.PathEscape("https://client.demo.localhost/x"), token, body),
		} {
			if a.Status != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), `Bearer error="invalid_token"`) || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d %v", method, name, a.Status, a.Header)
			}
			answers = append(answers, a.Header.Get("WWW-Authenticate")+a.Body)
		}
		for _, a := range answers[1:] {
			if a != answers[0] {
				t.Errorf("%s: answers differ: %q and %q", method, answers[0], a)
			}
		}
		if a := h.manage(method, id, "", body); a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s D8 no token: %d %v", method, a.Status, a.Header)
		}
		if a := h.do(h.newBrowser(), h.request(method, "/register/"+id, "", basic("gateway")...)); a.Status != http.StatusUnauthorized {
			t.Errorf("%s with Basic: %d", method, a.Status)
		}
	}
	if a := h.manage(http.MethodGet, id, token, nil); a.Status != http.StatusOK || a.JSON["client_name"] != "Test Agent" {
		t.Errorf("the rightful client: %d %s", a.Status, a.Body)
	}
}

// TestUnregister: with a client, all that it was given ends at once (R6).
func TestUnregister(t *testing.T) {
	h := newHarness(t)
	a := h.registerRaw(agentMetadata())
	id, token := a.JSON["client_id"].(string), a.JSON["registration_access_token"].(string)
	tokens := h.tokens(id, john).JSON
	access := tokens["access_token"].(string)
	jwt := h.phantom(access)
	code := h.code(h.authorizeQuery(id), john)
	browser := h.newBrowser()
	consent := h.signInAs(browser, h.authorizeQuery(id), john)
	kept := h.tokens(h.agent(), john).JSON["access_token"].(string)

	if a := h.manage(http.MethodDelete, id, token, nil); a.Status != http.StatusNoContent || a.Body != "" {
		t.Fatalf("delete: %d %s", a.Status, a.Body)
	}
	if got := h.introspected(access); !cmp.Equal(got, map[string]any{"active": false}) {
		t.Errorf("R6 the access token: %v", got)
	}
	wantError(h, "X4 exchange", h.post(h.newBrowser(), "/token", exchangeForm(jwt, h.cfg.APIResource()), basic("stocksmcp")...), 400, "invalid_request")
	wantError(h, "R6 refresh", h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {id}, "refresh_token": {tokens["refresh_token"].(string)}}), 401, "invalid_client")
	wantError(h, "R6 code", h.post(h.newBrowser(), "/token", redeemForm(id, code)), 401, "invalid_client")
	form := fields(consent)
	form.Set("decision", "allow")
	if a := h.post(browser, "/consent", form); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
		t.Errorf("consent to a client that is gone: %d %s", a.Status, a.Body)
	}
	if a := h.get(h.newBrowser(), "/authorize?"+h.authorizeQuery(id).Encode()); a.Status != http.StatusBadRequest {
		t.Errorf("authorize: %d", a.Status)
	}
	if a := h.manage(http.MethodDelete, id, token, nil); a.Status != http.StatusUnauthorized {
		t.Errorf("delete again: %d", a.Status)
	}
	if h.introspected(kept)["active"] != true {
		t.Error("another client's token ended too")
	}
}

// TestRegistrationsExpire: what nobody approved goes after a day, what somebody
// did 90 days after its last grant.
func TestRegistrationsExpire(t *testing.T) {
	h := newHarness(t)
	unused, used := h.agent(), h.agent()
	h.tokens(used, john)
	known := func(id string) bool {
		h.Helper()
		if err := h.db.Expire(t.Context(), h.time()); err != nil {
			t.Fatal(err)
		}
		a := h.get(h.newBrowser(), "/authorize?"+h.authorizeQuery(id).Encode())
		return a.Status == http.StatusSeeOther
	}
	h.wait(24*time.Hour - time.Minute)
	if !known(unused) || !known(used) {
		t.Error("a client went before its time")
	}
	h.wait(2 * time.Minute)
	if known(unused) || !known(used) {
		t.Error("after a day: the unused client has to go, the used one to stay")
	}
	h.wait(60 * 24 * time.Hour)
	h.tokens(used, john)
	h.wait(grants.GrantLifetime + 89*24*time.Hour)
	if !known(used) {
		t.Error("a client went less than 90 days after its last grant")
	}
	h.wait(24*time.Hour + time.Minute)
	if known(used) {
		t.Error("a client that nobody uses any more stayed")
	}
}

func FuzzParseUpdate(f *testing.F) {
	for _, seed := range []string{
		`{"client_id":"dcr-x","redirect_uris":["https://a.example/cb"]}`, `{"client_id":"a","CLIENT_ID":"b"}`, `{"registration_access_token":"x"}`,
		`{"Registration_Client_URI":1}`, `[]`, `null`, `{} {}`, `{"client_id":1}`, `{"redirect_uris":{"a":[`, "\x00", `{"ID":"x","Registration":{"Name":"y"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		u, err := clients.ParseUpdate(body)
		if err != nil {
			return
		}
		var m map[string]json.RawMessage
		if json.Unmarshal(body, &m) != nil {
			t.Errorf("%q is no object and was read as %+v", body, u)
		}
		if _, ok := m["registration_access_token"]; ok {
			t.Errorf("%q was accepted", body)
		}
	})
}

// TestChangesAreLimited: a client that changes its registration over and over
// writes, and has every cache told, no more often than one that registers anew.
func TestChangesAreLimited(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.RegistrationsPerIP = 3 })
	registered := h.registerRaw(agentMetadata())
	id, token := registered.JSON["client_id"].(string), registered.JSON["registration_access_token"].(string)
	change := func() answer { return h.manage(http.MethodPut, id, token, plus(agentMetadata(), "client_id", id)) }
	for range 5 { // these change nothing, and count for nothing
		if a := h.manage(http.MethodPut, id, "made-up", plus(agentMetadata(), "client_id", id)); a.Status != http.StatusUnauthorized {
			t.Errorf("a stranger: %d %s", a.Status, a.Body)
		}
	}
	for range 2 {
		if a := change(); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if a := change(); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
