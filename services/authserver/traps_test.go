package authserver

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/site"
)

// TestLibraryTraps: what zitadel/oidc's stock server gets wrong, by the number
// that each has in our notes on the library. Every one is a hole that this
// server must not have.
func TestLibraryTraps(t *testing.T) {
	t.Run("1 PKCE is optional, plain, or any length", func(t *testing.T) {
		h := newHarness(t)
		agent := h.agent()
		for name, change := range map[string]func(url.Values){
			"no challenge":    func(q url.Values) { q.Del("code_challenge") },
			"plain":           func(q url.Values) { q.Set("code_challenge_method", "plain") },
			"no method":       func(q url.Values) { q.Del("code_challenge_method") },
			"unknown method":  func(q url.Values) { q.Set("code_challenge_method", "S512") },
			"other case":      func(q url.Values) { q.Set("code_challenge_method", "s256") },
			"short challenge": func(q url.Values) { q.Set("code_challenge", challenge[:42]) },
			"long challenge":  func(q url.Values) { q.Set("code_challenge", challenge+"A") },
		} {
			query := h.authorizeQuery(agent)
			change(query)
			wantRedirectError(h, name, query, "invalid_request")
		}
		for name, v := range map[string]string{"empty": "", "one character": "v", "wrong": strings.Repeat("w", 43), "too long": strings.Repeat("v", 129), "illegal": strings.Repeat("é", 43)} {
			code := h.code(h.authorizeQuery(agent), john)
			form := redeemForm(agent, code)
			form.Set("code_verifier", v)
			wantError(h, name, h.post(h.newBrowser(), "/token", form), 400, "invalid_grant")
			wantError(h, name+": the code is burned", h.post(h.newBrowser(), "/token", redeemForm(agent, code)), 400, "invalid_grant")
		}
	})

	t.Run("2 the redirect URI is decoded twice, or compared loosely", func(t *testing.T) {
		h := newHarness(t)
		agent := h.register(map[string]any{"redirect_uris": []string{"http://localhost/cb"}, "token_endpoint_auth_method": "none", "application_type": "native"})
		for _, uri := range []string{
			"http://localhost%2Fcb%23@evil.example/x", "http://localhost%252Fcb%2523@evil.example/x", "http://u@localhost:1/cb", "http://localhost:1/cb#x",
			"http://127.0.0.1:1/cb", "https://localhost/cb", "http://evil.example/cb", "http://localhost/cb/", "http://localhost/cb?x=y", "http://LOCALHOST/cb",
			"http://localhost:123456/cb", "http://localhost.evil.example/cb", "//localhost/cb", "http://localhost\\@evil.example/cb", "",
		} {
			query := h.authorizeQuery(agent)
			query.Set("redirect_uri", uri)
			a := h.get(h.newBrowser(), "/authorize?"+query.Encode())
			if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
				t.Errorf("%q: %d, Location %q", uri, a.Status, a.Header.Get("Location"))
			}
		}
		query := h.authorizeQuery(agent)
		query.Set("redirect_uri", "http://localhost:54321/cb") // RFC 8252 §7.3: any port
		if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); a.Status != http.StatusSeeOther {
			t.Errorf("another loopback port: %d %s", a.Status, a.Body)
		}
	})

	t.Run("3 token exchange checks little", func(t *testing.T) {
		h := newHarness(t)
		agent := h.agent()
		query := h.authorizeQuery(agent)
		query.Set("scope", "stocks/read openid")
		tokens := h.post(h.newBrowser(), "/token", redeemForm(agent, h.code(query, john))).JSON
		opaque, idToken := tokens["access_token"].(string), tokens["id_token"].(string)
		mcp, api := h.phantom(opaque), h.cfg.APIResource()
		exchange := func(change func(url.Values), auth ...string) answer {
			form := exchangeForm(mcp, api)
			change(form)
			if len(auth) == 0 {
				auth = basic("stocksmcp")
			}
			return h.post(h.newBrowser(), "/token", form, auth...)
		}
		set := func(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }
		good := exchange(func(url.Values) {})
		if good.Status != http.StatusOK {
			t.Fatalf("exchange: %d %s", good.Status, good.Body)
		}
		if a := exchange(set("subject_token", opaque)); a.Status != http.StatusOK { // X6: by our policy as good as the JWT behind it
			t.Errorf("opaque subject token: %d %s", a.Status, a.Body)
		}
		wantError(h, "ID token as access token", exchange(set("subject_token", idToken)), 400, "invalid_request")
		wantError(h, "token of the next audience", exchange(set("subject_token", good.JSON["access_token"].(string))), 400, "invalid_request")
		wantError(h, "garbage", exchange(set("subject_token", "a.b.c")), 400, "invalid_request")
		wantError(h, "other audience", exchange(set("resource", "https://other.example")), 400, "invalid_target")
		wantError(h, "the same audience", exchange(set("resource", h.cfg.MCPResource())), 400, "invalid_target")
		wantError(h, "two audiences", exchange(func(f url.Values) { f.Add("audience", "https://other.example") }), 400, "invalid_target")
		wantError(h, "no audience", exchange(func(f url.Values) { f.Del("resource") }), 400, "invalid_target")
		wantError(h, "wider scope", exchange(set("scope", "stocks/read admin")), 400, "invalid_scope")
		wantError(h, "actor token", exchange(func(f url.Values) {
			f.Set("actor_token", mcp)
			f.Set("actor_token_type", "urn:ietf:params:oauth:token-type:jwt")
		}), 400, "invalid_request")
		wantError(h, "refresh token wanted", exchange(set("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")), 400, "invalid_request")
		wantError(h, "public client", exchange(set("client_id", agent), "X-None", ""), 400, "unauthorized_client")
		wantError(h, "client that is not listed", exchange(func(url.Values) {}, basic("gateway")...), 400, "unauthorized_client")
		jwtType := exchange(set("requested_token_type", "urn:ietf:params:oauth:token-type:jwt"))
		if _, claims := claimsOf(t, jwtType.JSON["access_token"].(string)); claims["aud"] != api {
			t.Errorf("requested_token_type=jwt: aud %v", claims["aud"])
		}
		h.post(h.newBrowser(), "/revoke", url.Values{"client_id": {agent}, "token": {opaque}})
		wantError(h, "revoked subject token", exchange(func(url.Values) {}), 400, "invalid_request")
	})

	t.Run("4 access tokens and ID tokens look alike", func(t *testing.T) {
		h := newHarness(t)
		agent := h.agent()
		if plain := h.tokens(agent, john).JSON; plain["id_token"] != nil {
			t.Error("an ID token came without openid")
		}
		query := h.authorizeQuery(agent)
		query.Set("scope", "stocks/read openid email")
		query.Set("nonce", "n1")
		tokens := h.post(h.newBrowser(), "/token", redeemForm(agent, h.code(query, john))).JSON
		accessHeader, access := claimsOf(t, h.phantom(tokens["access_token"].(string)))
		idHeader, id := claimsOf(t, tokens["id_token"].(string))
		if accessHeader["typ"] != "at+jwt" || idHeader["typ"] == "at+jwt" || access["scope"] != "stocks/read" {
			t.Errorf("access token %v with scope %v, ID token %v", accessHeader, access["scope"], idHeader)
		}
		if id["aud"] != agent || id["nonce"] != "n1" || id["email"] != john || id["sub"] != access["sub"] {
			t.Errorf("ID token: %v", id)
		}
	})

	t.Run("5 whoever knows the callback's id gets the code", func(t *testing.T) {
		h := newHarness(t)
		// Login fixation (A14): the attacker begins, the victim signs in.
		attacker := h.newBrowser()
		page := h.follow(attacker, h.get(attacker, "/authorize?"+h.authorizeQuery(h.agent()).Encode()))
		request := fields(page).Get("request")
		victim := h.newBrowser()
		for _, path := range []string{"/signin", "/passcode", "/consent"} {
			if a := h.get(victim, path+"?request="+request); a.Status != http.StatusBadRequest {
				t.Errorf("GET %s of another browser's request: %d", path, a.Status)
			}
			form := fields(page)
			form.Set("email", john)
			form.Set("decision", "allow")
			if a := h.post(victim, path, form); a.Status != http.StatusForbidden && a.Status != http.StatusBadRequest {
				t.Errorf("POST %s of another browser's request: %d", path, a.Status)
			}
		}
		if h.mail.count() != 0 {
			t.Error("a passcode was mailed for a request of another browser")
		}
		// One code a request (A15), also in parallel.
		browser := h.newBrowser()
		form := fields(h.signInAs(browser, h.authorizeQuery(h.agent()), john))
		form.Set("decision", "allow")
		if got := parallel(20, func() bool {
			return strings.Contains(h.post(browser, "/consent", form).Header.Get("Location"), "code=")
		}); got != 1 {
			t.Errorf("%d codes for one request", got)
		}
	})

	t.Run("6 a replayed code leaves tokens alive, parallel ones succeed", func(t *testing.T) {
		h := newHarness(t)
		agent := h.agent()
		code := h.code(h.authorizeQuery(agent), john)
		var mu sync.Mutex
		var tokens []string
		if got := parallel(50, func() bool { // P6
			a := h.post(h.newBrowser(), "/token", redeemForm(agent, code))
			mu.Lock()
			defer mu.Unlock()
			if token, ok := a.JSON["access_token"].(string); ok {
				tokens = append(tokens, token)
			}
			return a.Status == http.StatusOK
		}); got > 1 {
			t.Errorf("one code was redeemed %d times", got)
		}
		for _, token := range tokens { // P7: the replays ended what the code gave
			if got := h.introspected(token); !cmp.Equal(got, map[string]any{"active": false}) {
				t.Errorf("a token survived the replay of its code: %v", got)
			}
		}
		// P8: another client's attempt changes nothing.
		code = h.code(h.authorizeQuery(agent), john)
		wantError(h, "another client", h.post(h.newBrowser(), "/token", redeemForm(h.agent(), code)), 400, "invalid_grant")
		if a := h.post(h.newBrowser(), "/token", redeemForm(agent, code)); a.Status != http.StatusOK {
			t.Errorf("the rightful client cannot redeem any more: %d %s", a.Status, a.Body)
		}
		// P11: a code lives for 60 seconds.
		code = h.code(h.authorizeQuery(agent), john)
		h.wait(61 * time.Second)
		wantError(h, "expired", h.post(h.newBrowser(), "/token", redeemForm(agent, code)), 400, "invalid_grant")
	})

	t.Run("7 client authentication is not enforced", func(t *testing.T) {
		h := newHarness(t)
		agent, mcp := h.agent(), h.phantom(h.tokens(h.agent(), john).JSON["access_token"].(string))
		exchange := exchangeForm(mcp, h.cfg.APIResource())
		with := func(name, value string) url.Values {
			form := url.Values{}
			for k, v := range exchange {
				form[k] = v
			}
			form.Set(name, value)
			return form
		}
		withID := with("client_id", "stocksmcp")
		withID.Set("client_secret", "client-stocksmcp"+secretFor)
		for name, a := range map[string]answer{
			"no credentials":                  h.post(h.newBrowser(), "/token", exchange),
			"wrong secret":                    h.post(h.newBrowser(), "/token", exchange, basicOf("stocksmcp", "wrong")...),
			"empty secret":                    h.post(h.newBrowser(), "/token", exchange, basicOf("stocksmcp", "")...),
			"public client, empty secret":     h.post(h.newBrowser(), "/token", exchange, basicOf(agent, "")...),
			"unknown client":                  h.post(h.newBrowser(), "/token", exchange, basicOf("nobody", "x")...),
			"id alone":                        h.post(h.newBrowser(), "/token", with("client_id", "stocksmcp")),
			"not the registered method":       h.post(h.newBrowser(), "/token", withID),
			"two methods":                     h.post(h.newBrowser(), "/token", withID, basic("stocksmcp")...),
			"a client assertion":              h.post(h.newBrowser(), "/token", with("client_assertion", "x")),
			"an assertion beside the secret":  h.post(h.newBrowser(), "/token", with("client_assertion", "x"), basic("stocksmcp")...),
			"introspection by nobody":         h.post(h.newBrowser(), "/introspect", url.Values{"token": {"x"}}),
			"introspection by public client":  h.post(h.newBrowser(), "/introspect", url.Values{"token": {"x"}}, basicOf(agent, "")...),
			"introspection with wrong secret": h.post(h.newBrowser(), "/introspect", url.Values{"token": {"x"}}, basicOf("gateway", "wrong")...),
		} {
			wantError(h, name, a, 401, "invalid_client")
			if a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no WWW-Authenticate", name)
			}
		}
		wantError(h, "introspection by a client that is no resource server", // R12
			h.post(h.newBrowser(), "/introspect", url.Values{"token": {"x"}, "client_id": {agent}}), 400, "unauthorized_client")
	})

	t.Run("8 the token endpoint takes GET, repeats and caches", func(t *testing.T) {
		h := newHarness(t)
		agent := h.agent()
		form := redeemForm(agent, h.code(h.authorizeQuery(agent), john))
		if a := h.get(h.newBrowser(), "/token?"+form.Encode()); a.Status != http.StatusMethodNotAllowed {
			t.Errorf("GET /token: %d", a.Status)
		}
		wantError(h, "parameters in the URL", h.post(h.newBrowser(), "/token?"+form.Encode(), url.Values{}), 400, "invalid_request")
		twice := url.Values{}
		for k, v := range form {
			twice[k] = v
		}
		twice.Add("code", "other")
		wantError(h, "repeated parameter", h.post(h.newBrowser(), "/token", twice), 400, "invalid_request")
		wantError(h, "JSON", h.do(h.newBrowser(), h.request(http.MethodPost, "/token", "{}", "Content-Type", "application/json")), 400, "invalid_request")
		for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer"} {
			wantError(h, grant, h.post(h.newBrowser(), "/token", url.Values{"grant_type": {grant}, "client_id": {agent}}), 400, "unsupported_grant_type")
		}
		a := h.post(h.newBrowser(), "/token", form, "Origin", "https://evil.example")
		if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a foreign origin: %d, headers %v", a.Status, a.Header)
		}
		a = h.post(h.newBrowser(), "/token", form, "Origin", "http://localhost:6274")
		if a.Header.Get("Access-Control-Allow-Origin") != "http://localhost:6274" || a.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("a listed origin: headers %v", a.Header)
		}
	})

	t.Run("9 scope and redirect_uri are demanded", func(t *testing.T) {
		h := newHarness(t)
		agent := h.agent()
		query := h.authorizeQuery(agent)
		query.Del("scope")
		query.Del("resource")
		form := redeemForm(agent, h.code(query, john))
		form.Del("redirect_uri")
		a := h.post(h.newBrowser(), "/token", form)
		if a.Status != http.StatusOK || a.JSON["scope"] != "stocks/read" {
			t.Fatalf("without scope, resource and redirect_uri: %d %s", a.Status, a.Body)
		}
		if got := h.introspected(a.JSON["access_token"].(string))["aud"]; got != h.cfg.MCPResource() {
			t.Errorf("default audience %v", got)
		}
		for _, wrong := range []string{"", "http://127.0.0.1:8888/callback", "not sent"} { // P9
			form := redeemForm(agent, h.code(h.authorizeQuery(agent), john))
			form.Set("redirect_uri", wrong)
			a := h.post(h.newBrowser(), "/token", form)
			if a.Status != http.StatusBadRequest {
				t.Errorf("redirect_uri %q: %d %s", wrong, a.Status, a.Body)
			}
		}
	})

	t.Run("10 iss, resource, RFC 8414, DCR and application/jwt are missing", func(t *testing.T) {
		h := newHarness(t)
		agent := h.agent()
		for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
			m := h.get(h.newBrowser(), path, "Origin", "https://anywhere.example")
			if m.JSON["issuer"] != h.cfg.Issuer() || m.JSON["authorization_response_iss_parameter_supported"] != true || m.JSON["client_id_metadata_document_supported"] != true ||
				!cmp.Equal(m.JSON["code_challenge_methods_supported"], []any{"S256"}) || m.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %s", path, m.Body)
			}
		}
		query := h.authorizeQuery(agent)
		query.Set("resource", "https://other.example/")
		wantRedirectError(h, "unknown resource", query, "invalid_target")
		query.Set("resource", h.cfg.APIResource())
		wantRedirectError(h, "an agent asks for the API itself", query, "invalid_target")
		query["resource"] = []string{h.cfg.MCPResource(), h.cfg.APIResource()}
		wantRedirectError(h, "two resources", query, "invalid_target")
		query["resource"] = []string{strings.TrimSuffix(h.cfg.MCPResource(), "/")} // names the same resource
		form := redeemForm(agent, h.code(query, john))
		form.Set("resource", h.cfg.APIResource())
		wantError(h, "another resource at the token endpoint", h.post(h.newBrowser(), "/token", form), 400, "invalid_target") // P10
		form.Set("resource", h.cfg.MCPResource())
		if a := h.post(h.newBrowser(), "/token", form); a.Status != http.StatusOK {
			t.Errorf("the code was used up by a wrong resource: %d %s", a.Status, a.Body)
		}
		for name, change := range map[string][3]string{
			"response_type": {"response_type", "token", "unsupported_response_type"},
			"request":       {"request", "x", "request_not_supported"},
			"request_uri":   {"request_uri", "https://evil.example", "request_uri_not_supported"},
			"response_mode": {"response_mode", "fragment", "invalid_request"},
			"scope":         {"scope", "admin", "invalid_scope"},
		} {
			changed := h.authorizeQuery(agent)
			changed.Set(change[0], change[1])
			wantRedirectError(h, name, changed, change[2])
		}
	})

	t.Run("11 a header chooses the issuer", func(t *testing.T) {
		h := newHarness(t)
		for _, header := range [][]string{{"Forwarded", "host=evil.example"}, {"X-Forwarded-Host", "evil.example"}, {"X-Forwarded-Proto", "http"}, {"Host", "evil.example"}} {
			req := h.request(http.MethodGet, "/.well-known/oauth-authorization-server", "", header...)
			req.Host = "evil.example"
			if a := h.do(h.newBrowser(), req); a.JSON["issuer"] != h.cfg.Issuer() || strings.Contains(a.Body, "evil") {
				t.Errorf("%v: %s", header, a.Body)
			}
		}
	})

	t.Run("12 endpoints are package variables", func(t *testing.T) {
		one := newHarness(t)
		other := newHarness(t, func(c *Config) { c.Site = site.Site{Domain: "other.example", HTTPSPort: 443} })
		for _, h := range []*harness{one, other} {
			if got := h.get(h.newBrowser(), "/.well-known/oauth-authorization-server").JSON["token_endpoint"]; got != h.cfg.Issuer()+"/token" {
				t.Errorf("token endpoint %v", got)
			}
		}
	})

	t.Run("13 the client's own query is rewritten", func(t *testing.T) {
		h := newHarness(t)
		uri := "https://app.example/cb?b=2&a=%7e1&empty"
		agent := h.register(map[string]any{"redirect_uris": []string{uri}, "token_endpoint_auth_method": "none"})
		query := h.authorizeQuery(agent)
		query.Set("redirect_uri", uri)
		query.Del("code_challenge")
		if got := h.get(h.newBrowser(), "/authorize?"+query.Encode()).Header.Get("Location"); !strings.HasPrefix(got, uri+"&error=") {
			t.Errorf("Location %q", got)
		}
	})

	t.Run("14 tokens are encrypted with unauthenticated AES", func(t *testing.T) {
		h := newHarness(t)
		tokens := h.tokens(h.agent(), john).JSON
		for _, name := range []string{"access_token", "refresh_token"} {
			raw, err := base64.RawURLEncoding.DecodeString(tokens[name].(string))
			if err != nil || len(raw) != 32 {
				t.Errorf("%s is not 32 random bytes", name)
			}
			flipped := append(slices.Clone(raw[:31]), raw[31]^1)
			if got := h.introspected(base64.RawURLEncoding.EncodeToString(flipped)); got["active"] != false {
				t.Errorf("%s: a changed token is active", name)
			}
		}
		if got := h.introspected(tokens["refresh_token"].(string)); !cmp.Equal(got, map[string]any{"active": false}) {
			t.Errorf("a refresh token passes for an access token: %v", got) // R13
		}
		unsigned, err := jwt.New(jwt.SigningMethodNone).SignedString(jwt.UnsafeAllowNoneSignatureType)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.introspected(unsigned); !cmp.Equal(got, map[string]any{"active": false}) {
			t.Errorf("introspection of a JWT: %v", got)
		}
	})
}

// basicOf returns the Authorization header of any client.
func basicOf(id, secret string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}
}

// wantError checks a JSON error: its status, its code, and that nothing caches
// it (attack P18).
func wantError(h *harness, name string, a answer, status int, code string) {
	h.Helper()
	if a.Status != status || a.JSON["error"] != code || a.Header.Get("Cache-Control") != "no-store" {
		h.Errorf("%s: %d %s (Cache-Control %q), want %d %s", name, a.Status, strings.TrimSpace(a.Body), a.Header.Get("Cache-Control"), status, code)
	}
}

// wantRedirectError checks an error that the client is told at its redirect
// URI, with state and issuer.
func wantRedirectError(h *harness, name string, query url.Values, code string) {
	h.Helper()
	a := h.get(h.newBrowser(), "/authorize?"+query.Encode())
	location, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.Status != http.StatusFound || !strings.HasPrefix(location.String(), callback+"?") {
		h.Errorf("%s: %d, Location %q", name, a.Status, a.Header.Get("Location"))
		return
	}
	got := location.Query()
	if got.Get("error") != code || got.Get("state") != "st" || got.Get("iss") != h.cfg.Issuer() || got.Has("code") {
		h.Errorf("%s: %v, want error %s", name, got, code)
	}
}

// parallel calls f n times at once and counts how often it is true.
func parallel(n int, f func() bool) int {
	results := make(chan bool, n)
	start := make(chan struct{})
	for range n {
		go func() { <-start; results <- f() }()
	}
	close(start)
	got := 0
	for range n {
		if <-results {
			got++
		}
	}
	return got
}
