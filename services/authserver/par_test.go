package authserver

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store/sqlite"
)

// pushed sends a request ahead and returns the query that stands for it.
func (h *harness) pushed(query url.Values, header ...string) url.Values {
	h.Helper()
	a := h.post(h.newBrowser(), "/par", query, header...)
	uri, _ := a.JSON["request_uri"].(string)
	if a.Status != http.StatusCreated || a.JSON["expires_in"] != 60.0 || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || len(uri) < 34+43 || a.Header.Get("Cache-Control") != "no-store" {
		h.Fatalf("push: %d %s", a.Status, a.Body)
	}
	return url.Values{"client_id": {query.Get("client_id")}, "request_uri": {uri}}
}

// roundTrip answers requests without a network.
type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// TestPushedRequest: RFC 9126, from the push to the code.
func TestPushedRequest(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()

	t.Run("what was pushed counts, and nothing of the URL", func(t *testing.T) {
		query := h.pushed(h.authorizeQuery(agent))
		for name, value := range map[string]string{"redirect_uri": "https://evil.example/cb", "scope": "openid", "state": "evil", "response_type": "token", "request": "x", "code_challenge": "x"} {
			query.Set(name, value)
		}
		browser := h.newBrowser()
		back := h.decide(browser, h.signInAs(browser, query, john), "allow")
		if back.Get("state") != "st" || back.Get("code") == "" {
			t.Fatalf("authorization response: %v", back)
		}
		if a := h.post(h.newBrowser(), "/token", redeemForm(agent, back.Get("code"))); a.JSON["scope"] != "stocks/read" {
			t.Errorf("token: %d %s", a.Status, a.Body)
		}
		wantLocal(t, h, query.Encode()) // used
	})

	t.Run("it is used once, in parallel too", func(t *testing.T) {
		query := h.pushed(h.authorizeQuery(agent)).Encode()
		if got := parallel(20, func() bool { return h.get(h.newBrowser(), "/authorize?"+query).Status == http.StatusSeeOther }); got != 1 {
			t.Errorf("%d browsers began with one request", got)
		}
	})

	t.Run("only its client's, and for a minute", func(t *testing.T) {
		query := h.pushed(h.authorizeQuery(agent))
		for _, client := range []string{h.agent(), "stocks-web", "", "nobody"} {
			other := url.Values{"client_id": {client}, "request_uri": query["request_uri"]}
			wantLocal(t, h, other.Encode())
		}
		browser := h.newBrowser()
		if a := h.follow(browser, h.post(browser, "/authorize", query)); a.Status != http.StatusOK {
			t.Errorf("others used it up: %d", a.Status)
		}
		query = h.pushed(h.authorizeQuery(agent))
		h.wait(61 * time.Second)
		wantLocal(t, h, query.Encode())
		wantLocal(t, h, url.Values{"client_id": {agent}, "request_uri": {"urn:ietf:params:oauth:request_uri:"}}.Encode())
		if err := h.db.Expire(t.Context(), h.time()); err != nil || h.rows()["pushed_requests"] != 0 {
			t.Errorf("an expired request is kept: %v %v", h.rows(), err)
		}
	})

	t.Run("it survives a restart", func(t *testing.T) {
		query := h.pushed(h.authorizeQuery(agent))
		again, err := sqlite.Open(t.Context(), h.cfg.DatabaseFile)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if _, err := newServer(t.Context(), h.cfg, again, h.mail, h.time, h.log); err != nil {
			t.Fatal(err)
		}
		if n := h.rows()["pushed_requests"]; n != 1 {
			t.Errorf("%d pushed requests in the file", n)
		}
		if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); a.Status != http.StatusSeeOther {
			t.Errorf("authorize: %d", a.Status)
		}
	})

	t.Run("mistakes are told at once, as at the authorization endpoint", func(t *testing.T) {
		for name, change := range map[string][3]string{
			"redirect URI":  {"redirect_uri", "https://evil.example/cb", "invalid_request"},
			"no redirect":   {"redirect_uri", "", "invalid_request"},
			"response type": {"response_type", "token", "unsupported_response_type"},
			"P1 challenge":  {"code_challenge", "", "invalid_request"},
			"P4 method":     {"code_challenge_method", "plain", "invalid_request"},
			"scope":         {"scope", "admin", "invalid_scope"},
			"resource":      {"resource", "https://other.example", "invalid_target"},
			"A16 request":   {"request", "x", "request_not_supported"},
			"request_uri":   {"request_uri", "urn:ietf:params:oauth:request_uri:x", "invalid_request"},
			"response mode": {"response_mode", "fragment", "invalid_request"},
			"prompt":        {"prompt", "none login", "invalid_request"},
			"hint":          {"id_token_hint", "x", "invalid_request"},
		} {
			query := h.authorizeQuery(agent)
			query.Set(change[0], change[1])
			wantError(h, name, h.post(h.newBrowser(), "/par", query), 400, change[2])
		}
		twice := h.authorizeQuery(agent)
		twice.Add("state", "other")
		wantError(h, "A7 repeated", h.post(h.newBrowser(), "/par", twice), 400, "invalid_request")
		wantError(h, "P13 in the URL", h.post(h.newBrowser(), "/par?"+twice.Encode(), url.Values{}), 400, "invalid_request")
		if a := h.get(h.newBrowser(), "/par"); a.Status != http.StatusMethodNotAllowed {
			t.Errorf("GET /par: %d", a.Status)
		}
	})

	t.Run("clients authenticate as at the token endpoint", func(t *testing.T) {
		web := h.webQuery()
		wantError(h, "no secret", h.post(h.newBrowser(), "/par", web), 401, "invalid_client")
		wantError(h, "another client's secret", h.post(h.newBrowser(), "/par", web, basic("gateway")...), 401, "invalid_client")
		wantError(h, "nobody", h.post(h.newBrowser(), "/par", url.Values{}), 401, "invalid_client")
		wantError(h, "P14 a secret of a public client", h.post(h.newBrowser(), "/par", func() url.Values { q := h.authorizeQuery(agent); q.Set("client_secret", "x"); return q }()), 401, "invalid_client")
		unknown := h.authorizeQuery("https://127.0.0.1/client.json") // D9: refused where it would be dialled
		wantError(h, "a document out of reach", h.post(h.newBrowser(), "/par", unknown), 401, "invalid_client")
		wantError(h, "a client that may not", h.post(h.newBrowser(), "/par", url.Values{"response_type": {"code"}}, basic("gateway")...), 400, "invalid_request")
		browser := h.newBrowser()
		h.signInAs(browser, web, john)
		if a := h.follow(browser, h.get(browser, "/authorize?"+h.pushed(web, basic("stocks-web")...).Encode())); !strings.Contains(a.Body, "Allow access?") {
			t.Errorf("a pushed request of a confidential client: %d %s", a.Status, a.Body)
		}
	})

	t.Run("a client that is described by a document may begin here", func(t *testing.T) {
		const id = "https://agent.example/client.json"
		fetches := 0
		h.clients.Documents = clients.NewDocuments(&http.Client{Transport: roundTrip(func(*http.Request) *http.Response {
			fetches++
			body := `{"client_id":"` + id + `","client_name":"Agent","redirect_uris":["` + callback + `"],"post_logout_redirect_uris":["` + goodbye + `"]}`
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
		})}, h.time)
		clientsBefore := h.rows()["clients"]
		query := h.pushed(h.authorizeQuery(id))
		if h.rows()["clients"] != clientsBefore {
			t.Error("a push stored a client that no user let in")
		}
		browser := h.newBrowser()
		code := h.decide(browser, h.signInAs(browser, query, john), "allow").Get("code")
		if a := h.post(h.newBrowser(), "/token", redeemForm(id, code)); a.Status != http.StatusOK || fetches != 1 {
			t.Errorf("token: %d %s, after %d fetches", a.Status, a.Body, fetches)
		}
		wrong := h.authorizeQuery(id)
		wrong.Set("client_secret", "x")
		wantError(h, "a secret of a client without one", h.post(h.newBrowser(), "/par", wrong), 401, "invalid_client")
		if a := h.get(browser, "/logout?"+url.Values{"client_id": {id}, "post_logout_redirect_uri": {goodbye}}.Encode()); a.Status != http.StatusOK || !strings.Contains(a.Body, "Sign out?") {
			t.Errorf("its post_logout_redirect_uri: %d", a.Status)
		}
	})

	t.Run("prompt=none goes with it", func(t *testing.T) {
		query := h.authorizeQuery(agent)
		query.Set("prompt", "none")
		a := h.get(h.newBrowser(), "/authorize?"+h.pushed(query).Encode())
		if location := a.Header.Get("Location"); !strings.HasPrefix(location, callback) || !strings.Contains(location, "error=login_required") {
			t.Errorf("%d %q", a.Status, location)
		}
	})

	t.Run("an outage is a 503", func(t *testing.T) {
		down := newHarness(t)
		query := down.authorizeQuery("mcp-inspector")
		query.Set("redirect_uri", "http://localhost:6274/oauth/callback")
		if err := down.db.Close(); err != nil {
			t.Fatal(err)
		}
		a := down.post(down.newBrowser(), "/par", query, "Accept", "application/json")
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}
