package authserver

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/audit"
)

// pagePaths are the routes that are no protocol endpoints: what a person
// sees, what is found at a well-known place, and what only the services of the
// deployment call.
var pagePaths = []string{"/", "/signin", "/passcode", "/consent", "/signout", "/device", "/approve", "/account", "/static/*", "/healthz",
	"/approvals", audit.Path,
	"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}

// TestDiscoveryTellsTheTruth walks the metadata: what is advertised is served,
// what is served is advertised, and what is not advertised is refused.
func TestDiscoveryTellsTheTruth(t *testing.T) {
	h := newHarness(t)
	agent := h.agent()
	metadata := h.get(h.newBrowser(), "/.well-known/oauth-authorization-server").JSON
	list := func(name string) []string {
		values, ok := metadata[name].([]any)
		if !ok {
			t.Fatalf("%s is missing", name)
		}
		var out []string
		for _, v := range values {
			out = append(out, v.(string))
		}
		return out
	}

	t.Run("endpoints", func(t *testing.T) {
		var advertised []string
		for name, value := range metadata {
			endpoint, _ := value.(string)
			path, ours := strings.CutPrefix(endpoint, h.cfg.Issuer()+"/")
			if !ours {
				continue
			}
			advertised = append(advertised, "/"+path)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				if a := h.do(h.newBrowser(), h.request(method, "/"+path, "")); a.Status == http.StatusNotFound || a.Status >= 500 {
					t.Errorf("%s %s (%s): %d", method, path, name, a.Status)
				}
			}
		}
		for _, route := range h.routes().(*echo.Echo).Routes() {
			path, _, _ := strings.Cut(route.Path, "/:") // what belongs to one client hangs below its endpoint
			if path == "/revocations" {
				continue // for the services of this deployment alone
			}
			if !slices.Contains(pagePaths, path) && !slices.Contains(advertised, path) {
				t.Errorf("%s %s is served and not advertised", route.Method, route.Path)
			}
		}
		if other := h.get(h.newBrowser(), "/.well-known/openid-configuration"); other.JSON["issuer"] != metadata["issuer"] || len(other.JSON) != len(metadata) {
			t.Error("the two well-known places tell two things")
		}
	})

	t.Run("grant types", func(t *testing.T) {
		code := h.code(h.authorizeQuery(agent), john)
		redeemed := h.post(h.newBrowser(), "/token", redeemForm(agent, code))
		works := map[string]func() answer{
			"authorization_code": func() answer { return redeemed },
			"refresh_token": func() answer {
				return h.post(h.newBrowser(), "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {agent}, "refresh_token": {redeemed.JSON["refresh_token"].(string)}})
			},
			deviceGrant: func() answer {
				device := h.register(map[string]any{"grant_types": []string{deviceGrant}, "token_endpoint_auth_method": "none"})
				start, browser := h.startDevice(device), h.newBrowser()
				form := fields(h.typeAndSignIn(browser, start.JSON["user_code"].(string)))
				form.Set("decision", "allow")
				h.post(browser, "/consent", form)
				return h.poll(device, start)
			},
			"client_credentials": func() answer {
				return h.post(h.newBrowser(), "/token", ownForm(), basic("stocks-report")...)
			},
			"urn:ietf:params:oauth:grant-type:token-exchange": func() answer {
				return h.post(h.newBrowser(), "/token", exchangeForm(h.phantom(redeemed.JSON["access_token"].(string)), h.cfg.APIResource()), basic("stocksmcp")...)
			},
		}
		advertised := list("grant_types_supported")
		for _, grant := range advertised {
			if f, ok := works[grant]; !ok {
				t.Errorf("%s is advertised, and this test does not know how to use it: add it", grant)
			} else if a := f(); a.Status != http.StatusOK || a.JSON["access_token"] == nil {
				t.Errorf("%s: %d %s", grant, a.Status, a.Body)
			}
		}
		for _, grant := range []string{"password", "implicit", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:saml2-bearer"} {
			if !slices.Contains(advertised, grant) { // P16
				wantError(h, grant, h.post(h.newBrowser(), "/token", url.Values{"grant_type": {grant}, "client_id": {agent}}), 400, "unsupported_grant_type")
			}
		}
	})

	t.Run("authentication methods", func(t *testing.T) {
		key := ecKey()
		works := map[string]func(form url.Values, id, secret string) []string{
			"none":                func(url.Values, string, string) []string { return nil },
			"client_secret_post":  func(form url.Values, _, secret string) []string { form.Set("client_secret", secret); return nil },
			"client_secret_basic": func(_ url.Values, id, secret string) []string { return basicOf(id, secret) },
			"private_key_jwt": func(form url.Values, id, _ string) []string {
				maps.Copy(form, asserted(form, key.sign(h.assertion(id), nil)))
				return nil
			},
		}
		advertised := list("token_endpoint_auth_methods_supported")
		for _, method := range advertised {
			registered := h.registerRaw(keyMetadata(map[string]any{"token_endpoint_auth_method": method}, key))
			f, ok := works[method]
			if !ok {
				t.Errorf("%s is advertised, and this test does not know how to use it: add it", method)
				continue
			}
			id, _ := registered.JSON["client_id"].(string)
			secret, _ := registered.JSON["client_secret"].(string)
			form := redeemForm(id, h.code(h.authorizeQuery(id), john))
			header := f(form, id, secret)
			if a := h.post(h.newBrowser(), "/token", form, header...); a.Status != http.StatusOK {
				t.Errorf("%s: %d %s", method, a.Status, a.Body)
			}
		}
		for _, method := range []string{"client_secret_jwt", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"} {
			if !slices.Contains(advertised, method) {
				wantError(h, method, h.registerRaw(map[string]any{"redirect_uris": []string{callback}, "token_endpoint_auth_method": method}), 400, "invalid_client_metadata")
			}
		}
	})

	t.Run("prompts", func(t *testing.T) {
		browser := h.newBrowser()
		h.allow(browser, h.signInAs(browser, h.webQuery(), john))
		works := map[string]func(answer) bool{
			"none":           func(a answer) bool { return strings.Contains(a.Header.Get("Location"), "code=") },
			"login":          func(a answer) bool { return strings.Contains(a.Body, "Send me a passcode") },
			"select_account": func(a answer) bool { return strings.Contains(a.Body, "Send me a passcode") },
			"consent":        func(a answer) bool { return strings.Contains(a.Body, "Allow access?") },
		}
		advertised := list("prompt_values_supported")
		for _, prompt := range append(slices.Clone(advertised), "create", "NONE", "x") {
			query := h.webQuery()
			query.Set("prompt", prompt)
			a := h.follow(browser, h.get(browser, "/authorize?"+query.Encode()))
			switch f, ok := works[prompt]; {
			case !slices.Contains(advertised, prompt):
				if !strings.Contains(a.Header.Get("Location"), "error=invalid_request") {
					t.Errorf("prompt=%s is not advertised: %d", prompt, a.Status)
				}
			case !ok || !f(a):
				t.Errorf("prompt=%s: %d %s", prompt, a.Status, a.Body)
			}
		}
	})

	t.Run("scopes, response types and challenge methods", func(t *testing.T) {
		for name, test := range map[string]struct {
			parameter string
			others    []string
			refusal   string
		}{
			"scopes_supported":                 {"scope", []string{"admin", "profile", "stocks"}, "invalid_scope"},
			"response_types_supported":         {"response_type", []string{"token", "id_token", "code id_token"}, "unsupported_response_type"},
			"response_modes_supported":         {"response_mode", []string{"fragment", "form_post"}, "invalid_request"},
			"code_challenge_methods_supported": {"code_challenge_method", []string{"plain"}, "invalid_request"},
			"acr_values_supported":             {"acr_values", nil, ""},
		} {
			for _, value := range list(name) {
				query := h.authorizeQuery(agent)
				query.Set(test.parameter, value)
				if name == "scopes_supported" { // some say nothing alone
					query.Set(test.parameter, "openid "+value)
				}
				if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); a.Status != http.StatusSeeOther {
					t.Errorf("%s=%s: %d %q", test.parameter, value, a.Status, a.Header.Get("Location"))
				}
			}
			for _, value := range test.others {
				query := h.authorizeQuery(agent)
				query.Set(test.parameter, value)
				wantRedirectError(h, test.parameter+"="+value, query, test.refusal)
			}
		}
		// Voluntary, so one that is not known changes nothing (OpenID Connect
		// Core §3.1.2.1).
		query := h.authorizeQuery(agent)
		query.Set("acr_values", "urn:example:retina")
		if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); a.Status != http.StatusSeeOther {
			t.Errorf("unknown acr_values: %d", a.Status)
		}
		for _, name := range []string{"request_parameter_supported", "request_uri_parameter_supported", "claims_parameter_supported", "require_pushed_authorization_requests"} {
			if metadata[name] != false {
				t.Errorf("%s: %v", name, metadata[name])
			}
		}
	})
}
