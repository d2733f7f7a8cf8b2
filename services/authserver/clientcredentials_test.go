package authserver

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func ownForm(more ...string) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}}
	for i := 0; i < len(more); i += 2 {
		form.Add(more[i], more[i+1])
	}
	return form
}

// clientsFile writes a reviewed file: the demo's own clients, changed.
func clientsFile(t *testing.T, change func([]map[string]any) []map[string]any) func(*Config) {
	t.Helper()
	raw, err := os.ReadFile("clients/presets.json")
	if err != nil {
		t.Fatal(err)
	}
	var presets []map[string]any
	if err := json.Unmarshal(raw, &presets); err != nil {
		t.Fatal(err)
	}
	if raw, err = json.Marshal(change(presets)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "clients.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.ClientsFile = file }
}

// machine is a reviewed client with a key that calls the MCP server by itself.
func machine(key testKey) map[string]any {
	return map[string]any{
		"client_id": "night-agent", "client_name": "Night agent", "grant_types": []string{"client_credentials", "refresh_token"},
		"token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{key.jwk}}, "scope": "stocks/read openid",
		"resources": []string{"mcp", "api"}, "client_type": "mcp", "client_assurance_level": 3, "region": "Asia",
	}
}

// TestClientCredentials: a client acts for itself (RFC 6749 §4.4).
func TestClientCredentials(t *testing.T) {
	h := newHarness(t)
	a := h.post(h.newBrowser(), "/token", ownForm(), basic("stocks-report")...)
	if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("token: %d %s", a.Status, a.Body)
	}
	access, _ := a.JSON["access_token"].(string)
	want := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 900.0, "scope": "stocks/read"}
	if diff := cmp.Diff(want, a.JSON); diff != "" || len(access) != 43 {
		t.Errorf("token answer (-want +got):\n%s", diff)
	}
	header, claims := claimsOf(t, h.phantom(access))
	want = map[string]any{ // neither auth_time nor acr: nobody signed in
		"iss": h.cfg.Issuer(), "aud": h.cfg.APIResource(), "sub": "client:stocks-report", "client_id": "stocks-report",
		"scope": "stocks/read", "region": "USA", "client_type": "web", "client_assurance_level": 2.0,
	}
	volatile := cmpopts.IgnoreMapEntries(func(k string, _ any) bool { return k == "jti" || k == "exp" || k == "iat" || k == "grant_id" })
	if diff := cmp.Diff(want, claims, volatile); diff != "" || header["typ"] != "at+jwt" {
		t.Errorf("header %v, claims (-want +got):\n%s", header, diff)
	}
	want["active"], want["token_type"] = true, "Bearer"
	if diff := cmp.Diff(want, h.introspected(access), volatile); diff != "" {
		t.Errorf("introspection (-want +got):\n%s", diff)
	}

	ask := func(more ...string) answer {
		return h.post(h.newBrowser(), "/token", ownForm(more...), basic("stocks-report")...)
	}
	for name, a := range map[string]answer{
		"resource":              ask("resource", h.cfg.APIResource()),
		"resource with a slash": ask("resource", h.cfg.APIResource()+"/"),
		"scope":                 ask("scope", "stocks/read"),
		"scope twice":           ask("scope", "stocks/read stocks/read"),
		"scope of blanks":       ask("scope", " "),
	} {
		if a.Status != http.StatusOK || a.JSON["scope"] != "stocks/read" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	wantError(h, "another resource", ask("resource", h.cfg.MCPResource()), 400, "invalid_target")
	wantError(h, "two resources", ask("resource", h.cfg.APIResource(), "resource", h.cfg.MCPResource()), 400, "invalid_target")
	wantError(h, "wider scope", ask("scope", "stocks/read stocks/trade"), 400, "invalid_scope")
	wantError(h, "a user's scope", ask("scope", "openid"), 400, "invalid_scope")

	// It ends: by itself, and by the client.
	if a := h.post(h.newBrowser(), "/revoke", url.Values{"token": {access}}, basic("stocks-web")...); a.Status != http.StatusOK || h.introspected(access)["active"] != true {
		t.Errorf("another client revoked the token: %d %s", a.Status, a.Body)
	}
	h.post(h.newBrowser(), "/revoke", url.Values{"token": {access}}, basic("stocks-report")...)
	second := ask().JSON["access_token"].(string)
	if h.introspected(access)["active"] != false || h.introspected(second)["active"] != true {
		t.Error("revoking ended no token, or all")
	}
	h.wait(15 * time.Minute)
	if h.introspected(second)["active"] != false {
		t.Error("a token lives for longer than 15 minutes")
	}
	if err := h.db.Expire(t.Context(), h.time()); err != nil {
		t.Error(err)
	}
}

// TestClientCredentialsAreForReviewedClients (attacks D5 and P16): whoever
// registered themselves cannot do without a user, whatever they ask for.
func TestClientCredentialsAreForReviewedClients(t *testing.T) {
	h, key := newHarness(t), ecKey()
	grants := map[string]any{"grant_types": []string{"authorization_code", "client_credentials"}}
	withKey := h.keyClient(grants, key)
	secret := h.registerRaw(map[string]any{"redirect_uris": []string{callback}, "grant_types": grants["grant_types"], "token_endpoint_auth_method": "client_secret_post"}).JSON
	if diff := cmp.Diff([]any{"authorization_code"}, secret["grant_types"]); diff != "" {
		t.Errorf("registered grant types (-want +got):\n%s", diff)
	}
	for name, a := range map[string]answer{
		"public":       h.post(h.newBrowser(), "/token", ownForm("client_id", h.agent())),
		"with a key":   h.post(h.newBrowser(), "/token", asserted(ownForm(), key.sign(h.assertion(withKey), nil))),
		"with secret":  h.post(h.newBrowser(), "/token", ownForm("client_id", secret["client_id"].(string), "client_secret", secret["client_secret"].(string))),
		"for people":   h.post(h.newBrowser(), "/token", ownForm(), basic("stocks-web")...),
		"for exchange": h.post(h.newBrowser(), "/token", ownForm(), basic("stocksmcp")...),
		"the gateway":  h.post(h.newBrowser(), "/token", ownForm(), basic("gateway")...),
	} {
		wantError(h, name, a, 400, "unauthorized_client")
	}
	wantError(h, "id alone", h.post(h.newBrowser(), "/token", ownForm("client_id", "stocks-report")), 401, "invalid_client")
	a := h.registerRaw(map[string]any{"redirect_uris": []string{callback}, "grant_types": []string{"client_credentials"}})
	if a.Status != http.StatusBadRequest || a.JSON["error"] != "invalid_client_metadata" {
		t.Errorf("registration for client_credentials alone: %d %s", a.Status, a.Body)
	}
	// Nor does a client that acts for itself act for people.
	q := h.authorizeQuery("stocks-report")
	if a := h.get(h.newBrowser(), "/authorize?"+q.Encode()); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
		t.Errorf("authorize: %d, Location %q", a.Status, a.Header.Get("Location"))
	}
}

// TestMachine: a reviewed client with a key calls the MCP server, which
// exchanges its token like any other (MCP extension oauth-client-credentials).
func TestMachine(t *testing.T) {
	key := ecKey()
	h := newHarness(t, clientsFile(t, func(all []map[string]any) []map[string]any { return append(all, machine(key)) }))
	a := h.post(h.newBrowser(), "/token", asserted(ownForm("resource", h.cfg.MCPResource()), key.sign(h.assertion("night-agent"), nil)))
	if a.Status != http.StatusOK || a.JSON["refresh_token"] != nil || a.JSON["id_token"] != nil || a.JSON["scope"] != "stocks/read" {
		t.Fatalf("token: %d %s", a.Status, a.Body)
	}
	access := a.JSON["access_token"].(string)
	for name, subject := range map[string]string{"JWT": h.phantom(access), "opaque": access} {
		exchanged := h.post(h.newBrowser(), "/token", exchangeForm(subject, h.cfg.APIResource()), basic("stocksmcp")...)
		if exchanged.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, exchanged.Status, exchanged.Body)
		}
		_, claims := claimsOf(t, exchanged.JSON["access_token"].(string))
		want := map[string]any{
			"iss": h.cfg.Issuer(), "aud": h.cfg.APIResource(), "sub": "client:night-agent", "client_id": "night-agent", "scope": "stocks/read",
			"region": "Asia", "client_type": "mcp", "client_assurance_level": 3.0, "act": map[string]any{"sub": "stocksmcp"},
		}
		if diff := cmp.Diff(want, claims, cmpopts.IgnoreMapEntries(func(k string, _ any) bool { return k == "jti" || k == "exp" || k == "iat" || k == "grant_id" })); diff != "" {
			t.Errorf("%s: claims (-want +got):\n%s", name, diff)
		}
	}
}

// TestMachineIsRemoved: taking a client, or only its right, out of the
// reviewed file ends its tokens.
func TestMachineIsRemoved(t *testing.T) {
	for name, change := range map[string]func([]map[string]any) []map[string]any{
		"the client": func(all []map[string]any) []map[string]any {
			return slices.DeleteFunc(all, func(p map[string]any) bool { return p["client_id"] == "stocks-report" })
		},
		"the grant type": func(all []map[string]any) []map[string]any {
			for _, p := range all {
				if p["client_id"] == "stocks-report" {
					p["grant_types"] = []string{}
				}
			}
			return all
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			access := h.post(h.newBrowser(), "/token", ownForm(), basic("stocks-report")...).JSON["access_token"].(string)
			h.reopen()
			if h.introspected(access)["active"] != true {
				t.Error("a restart ended the token")
			}
			h.reopen(clientsFile(t, change))
			if diff := cmp.Diff(map[string]any{"active": false}, h.introspected(access)); diff != "" {
				t.Errorf("removed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBadMachines: the server does not start with a reviewed file that gives
// a client more than it proves.
func TestBadMachines(t *testing.T) {
	for name, tt := range map[string]struct {
		field string
		value any
		want  string
	}{
		"public":            {"token_endpoint_auth_method", "none", "client that authenticates"},
		"no resource":       {"resources", []string{}, "resources"},
		"no type":           {"client_type", "", "client_type"},
		"no assurance":      {"client_assurance_level", 0, "client_assurance_level"},
		"level 3 by secret": {"token_endpoint_auth_method", "client_secret_basic", "proves a key"},
		"no keys":           {"jwks", nil, "jwks"},
		"weak algorithm":    {"token_endpoint_auth_signing_alg", "HS256", "token_endpoint_auth_signing_alg"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := machine(ecKey())
			bad[tt.field] = tt.value
			h := newHarness(t)
			cfg := h.cfg
			clientsFile(t, func(all []map[string]any) []map[string]any { return append(all, bad) })(&cfg)
			_, err := newServer(t.Context(), cfg, h.db, h.mail, h.time, h.log)
			if err == nil || !strings.Contains(err.Error(), "night-agent") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error about %q", err, tt.want)
			}
		})
	}
	t.Run("no secret file", func(t *testing.T) {
		h := newHarness(t)
		if err := os.Remove(filepath.Join(h.cfg.SecretsDir, "client-stocks-report")); err != nil {
			t.Fatal(err)
		}
		if _, err := newServer(t.Context(), h.cfg, h.db, h.mail, h.time, h.log); err == nil || !strings.Contains(err.Error(), "client-stocks-report") {
			t.Errorf("got %v", err)
		}
	})
}
