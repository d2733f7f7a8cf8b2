package authserver

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/clients"
)

func basicAs(id, secret string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}
}

// TestTokenEndpointAttacks: who may use the token endpoint, and how.
func TestTokenEndpointAttacks(t *testing.T) {
	h, key := newHarness(t), ecKey()
	agent, withKey := h.agent(), h.keyClient(nil, key)
	post := h.registerRaw(map[string]any{"redirect_uris": []string{callback}, "token_endpoint_auth_method": "client_secret_post"}).JSON
	postID, postSecret := post["client_id"].(string), post["client_secret"].(string)
	own := ownForm
	reportSecret := "client-stocks-report" + secretFor

	t.Run("P13 GET, and parameters in the URL", func(t *testing.T) {
		query := own("client_id", "stocks-report", "client_secret", reportSecret).Encode()
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
			if a := h.do(h.newBrowser(), h.request(method, "/token?"+query, "")); a.Status != http.StatusMethodNotAllowed || a.JSON["access_token"] != nil {
				t.Errorf("%s: %d %s", method, a.Status, a.Body)
			}
		}
		wantError(h, "all in the URL", h.post(h.newBrowser(), "/token?"+query, url.Values{}), 400, "invalid_request")
		wantError(h, "grant in the URL", h.post(h.newBrowser(), "/token?grant_type=client_credentials", url.Values{}, basic("stocks-report")...), 400, "invalid_request")
		assertion := asserted(own(), key.sign(h.assertion(withKey), nil))
		wantError(h, "assertion in the URL", h.post(h.newBrowser(), "/token?"+assertion.Encode(), own()), 400, "invalid_request")
	})

	t.Run("P14 two methods, a secret for none, another method than registered", func(t *testing.T) {
		assertion := func() string { return key.sign(h.assertion(withKey), nil) }
		for name, a := range map[string]answer{
			"Basic and post":                   h.post(h.newBrowser(), "/token", own("client_id", "stocks-report", "client_secret", reportSecret), basic("stocks-report")...),
			"post for a Basic client":          h.post(h.newBrowser(), "/token", own("client_id", "stocks-report", "client_secret", reportSecret)),
			"Basic for a post client":          h.post(h.newBrowser(), "/token", redeemForm(postID, "x"), basicAs(postID, postSecret)...),
			"none for a Basic client":          h.post(h.newBrowser(), "/token", own("client_id", "stocks-report")),
			"none for a key client":            h.post(h.newBrowser(), "/token", redeemForm(withKey, "x")),
			"Basic for a key client":           h.post(h.newBrowser(), "/token", redeemForm(withKey, "x"), basicAs(withKey, "")...),
			"a secret for a public client":     h.post(h.newBrowser(), "/token", with(redeemForm(agent, "x"), "client_secret", "x")),
			"an empty one":                     h.post(h.newBrowser(), "/token", with(redeemForm(agent, "x"), "client_secret", "")),
			"Basic for a public client":        h.post(h.newBrowser(), "/token", redeemForm(agent, "x"), basicAs(agent, "x")...),
			"a bearer token for one":           h.post(h.newBrowser(), "/token", redeemForm(agent, "x"), "Authorization", "Bearer x"),
			"an assertion for a public client": h.post(h.newBrowser(), "/token", asserted(redeemForm("", "x"), key.sign(h.assertion(agent), nil))),
			"assertion and Basic":              h.post(h.newBrowser(), "/token", asserted(own(), assertion()), basic("stocks-report")...),
			"assertion and post":               h.post(h.newBrowser(), "/token", with(asserted(redeemForm("", "x"), assertion()), "client_secret", postSecret)),
			"Basic twice": h.do(h.newBrowser(), func() *http.Request {
				r := h.request(http.MethodPost, "/token", own().Encode(), "Content-Type", "application/x-www-form-urlencoded")
				r.Header["Authorization"] = []string{basic("stocks-report")[1], basic("stocks-web")[1]}
				return r
			}()),
		} {
			wantError(h, name, a, 401, "invalid_client")
		}
		wantError(h, "the assertion twice", h.post(h.newBrowser(), "/token", func() url.Values {
			form := asserted(redeemForm("", "x"), assertion())
			form.Add("client_assertion", assertion())
			return form
		}()), 400, "invalid_request")
		wantError(h, "post for a post client", h.post(h.newBrowser(), "/token", with(redeemForm(postID, "x"), "client_secret", postSecret)), 400, "invalid_grant")
	})

	t.Run("P15 a public client with an empty Basic secret", func(t *testing.T) {
		for _, id := range []string{agent, withKey, "mcp-inspector", "gateway", "stocksmcp", "nobody"} {
			wantError(h, id+" refresh", h.post(h.newBrowser(), "/token", refreshForm(id, "x"), basicAs(id, "")...), 401, "invalid_client")
			for path, form := range map[string]url.Values{
				"/introspect": {"token": {"x"}}, "/revoke": {"token": {"x"}}, "/token": exchangeForm("a.b.c", h.cfg.APIResource()),
			} {
				wantError(h, id+" "+path, h.post(h.newBrowser(), path, form, basicAs(id, "")...), 401, "invalid_client")
			}
		}
	})

	t.Run("P16 grants that are not offered", func(t *testing.T) {
		m := h.get(h.newBrowser(), "/.well-known/oauth-authorization-server").JSON
		offered, _ := m["grant_types_supported"].([]any)
		for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:saml2-bearer", "urn:openid:params:grant-type:ciba", "x", "CLIENT_CREDENTIALS", "client_credentials "} {
			wantError(h, grant, h.post(h.newBrowser(), "/token", url.Values{"grant_type": {grant}}, basic("stocks-report")...), 400, "unsupported_grant_type")
			wantError(h, grant, h.post(h.newBrowser(), "/token", with(refreshForm(agent, "x"), "grant_type", grant)), 400, "unsupported_grant_type")
			if slices.Contains(offered, any(grant)) {
				t.Errorf("%s is advertised", grant)
			}
		}
		wantError(h, "empty", h.post(h.newBrowser(), "/token", with(refreshForm(agent, "x"), "grant_type", "")), 400, "invalid_request")
		for _, grant := range offered { // the other way round: what is advertised is known
			if a := h.post(h.newBrowser(), "/token", with(refreshForm(agent, "x"), "grant_type", grant.(string))); a.JSON["error"] == "unsupported_grant_type" {
				t.Errorf("%v is advertised and not served", grant)
			}
		}
		// A grant that is offered, but not to this client.
		for grant, form := range map[string]url.Values{
			"authorization_code": redeemForm("", "x"), "refresh_token": {"refresh_token": {"x"}}, "exchange": exchangeForm("a.b.c", h.cfg.APIResource()),
		} {
			form.Del("client_id")
			if grant == "refresh_token" {
				form.Set("grant_type", grant)
			}
			wantError(h, grant, h.post(h.newBrowser(), "/token", form, basic("stocks-report")...), 400, "unauthorized_client")
		}
	})

	t.Run("metadata says what is served", func(t *testing.T) {
		m := h.get(h.newBrowser(), "/.well-known/oauth-authorization-server").JSON
		algorithms := []any{"ES256", "EdDSA", "RS256", "PS256"}
		for _, endpoint := range []string{"token", "revocation", "introspection"} {
			if diff := cmp.Diff(any(algorithms), m[endpoint+"_endpoint_auth_signing_alg_values_supported"]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", endpoint, diff)
			}
			if methods, _ := m[endpoint+"_endpoint_auth_methods_supported"].([]any); !slices.Contains(methods, any(clients.AuthPrivateKey)) {
				t.Errorf("%s: %v", endpoint, methods)
			}
		}
		if grants, _ := m["grant_types_supported"].([]any); !slices.Contains(grants, any("client_credentials")) {
			t.Errorf("grant types %v", grants)
		}
	})
}

func with(form url.Values, name, value string) url.Values {
	out := maps.Clone(form)
	out.Set(name, value)
	return out
}

// TestFailedAuthenticationHasOneShape: an attacker cannot tell a client that
// does not exist from one with another secret, key or method.
func TestFailedAuthenticationHasOneShape(t *testing.T) {
	h, key := newHarness(t), ecKey()
	withKey := h.keyClient(nil, key)
	used := key.sign(h.assertion(withKey), nil)
	h.authenticates("first use", used)
	expired := h.assertion(withKey)
	expired["exp"] = h.time().Add(-time.Hour).Unix()
	form := redeemForm("", "x")
	form.Del("client_id")
	var want answer
	for name, a := range map[string]answer{
		"unknown client":            h.post(h.newBrowser(), "/token", form, basicAs("nobody", "wrong")...),
		"wrong secret":              h.post(h.newBrowser(), "/token", form, basicAs("stocks-web", "wrong")...),
		"wrong method":              h.post(h.newBrowser(), "/token", with(with(form, "client_id", "stocks-web"), "client_secret", "x")),
		"public with a secret":      h.post(h.newBrowser(), "/token", form, basicAs("mcp-inspector", "x")...),
		"unknown public client":     h.post(h.newBrowser(), "/token", with(form, "client_id", "nobody")),
		"no secret":                 h.post(h.newBrowser(), "/token", with(form, "client_id", "stocks-web")),
		"no client":                 h.post(h.newBrowser(), "/token", form),
		"assertion: unknown":        h.tryAssertion(key.sign(h.assertion("nobody"), nil)),
		"assertion: wrong key":      h.tryAssertion(ecKey().sign(h.assertion(withKey), nil)),
		"assertion: other method":   h.tryAssertion(key.sign(h.assertion("stocks-web"), nil)),
		"assertion: used":           h.tryAssertion(used),
		"assertion: expired":        h.tryAssertion(key.sign(expired, nil)),
		"assertion: not one":        h.tryAssertion("x"),
		"assertion: other kind":     h.tryAssertion("x", func(f url.Values) { f.Set("client_assertion_type", "x") }),
		"assertion: unknown, EdDSA": h.tryAssertion(edKey().sign(h.assertion("nobody"), nil)),
	} {
		wantError(h, name, a, 401, "invalid_client")
		a.Header.Del("Date")
		if want.Status == 0 {
			want = a
		}
		if diff := cmp.Diff(want, a); diff != "" {
			t.Errorf("%s looks otherwise (-one +other):\n%s", name, diff)
		}
	}
}
