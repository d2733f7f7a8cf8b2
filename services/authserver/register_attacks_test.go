package authserver

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRegistrationAttacks: section D of the catalogue, as far as it is about
// dynamic registration.
func TestRegistrationAttacks(t *testing.T) {
	h := newHarness(t)
	refused := func(name, code string, metadata map[string]any) {
		t.Helper()
		a := h.registerRaw(metadata)
		if a.Status != http.StatusBadRequest || a.JSON["error"] != code || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	redirect := func(uris ...string) map[string]any {
		return map[string]any{"redirect_uris": uris, "token_endpoint_auth_method": "none"}
	}

	t.Run("D1 schemes that run or read something", func(t *testing.T) {
		for _, uri := range []string{
			"javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", " data:text/html,x", "data:text/html,x", "vbscript:x", "blob:https://a.example/1", "file:///etc/passwd",
			"java\tscript:alert(1)", "java\x00script:alert(1)", "java\nscript:alert(1)", "view-source:https://a.example", "about:blank", "ws://a.example/", "filesystem:https://a.example/x", "intent://a#x",
		} {
			refused(uri, "invalid_redirect_uri", redirect(uri))
			refused("beside a good one: "+uri, "invalid_redirect_uri", redirect(callback, uri))
		}
	})

	t.Run("D2 redirect URIs that are too wide, too many or too long", func(t *testing.T) {
		many := make([]string, 11)
		for i := range many {
			many[i] = callback
		}
		refused("eleven", "invalid_redirect_uri", redirect(many...))
		refused("none", "invalid_redirect_uri", redirect())
		for _, uri := range []string{
			"http://agent.example/cb", "http://127.0.0.2/cb", "http://localhost.evil.example/cb", "https://*.example/cb", "https://agent.example/cb#x", "https://agent.example/cb#",
			"https://u@agent.example/cb", "https://u:p@agent.example/cb", "https:///cb", "//agent.example/cb", "/cb", "", "https://agent.example/" + strings.Repeat("a", 2048),
		} {
			refused(uri, "invalid_redirect_uri", redirect(uri))
		}
	})

	t.Run("D3 markup in what a person reads", func(t *testing.T) {
		for _, uri := range []string{"javascript:alert(1)", "http://a.example/", "https://a.example/ onerror=x", "https://u@a.example/", "data:text/html,x"} {
			m := redirect(callback)
			m["client_uri"] = uri
			refused(uri, "invalid_client_metadata", m)
		}
		refused("a long name", "invalid_client_metadata", map[string]any{"redirect_uris": []string{callback}, "client_name": strings.Repeat("ü", 101)})
		// Names are shown as text: TestHostileName.
		m := redirect(callback)
		m["logo_uri"], m["tos_uri"], m["policy_uri"] = "javascript:alert(1)", "https://evil.example/", "https://evil.example/"
		if a := h.registerRaw(m); a.Status != http.StatusCreated || strings.Contains(a.Body, "evil") || strings.Contains(a.Body, "javascript") {
			t.Errorf("other addresses: %d %s", a.Status, a.Body)
		}
	})

	t.Run("D5 D6 a client that says what it is worth", func(t *testing.T) {
		m := redirect(callback)
		for name, value := range map[string]any{
			"client_id": "gateway", "client_type": "web", "client_assurance_level": 3, "region": "Europe", "scope": "stocks/read admin",
			"grant_types": []string{"authorization_code", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"},
			"first_party": true, "remember_consent": true, "resources": []string{"api"}, "client_secret": "chosen",
		} {
			m[name] = value
		}
		a := h.registerRaw(m)
		id, _ := a.JSON["client_id"].(string)
		if a.Status != http.StatusCreated || !strings.HasPrefix(id, "dcr-") || a.JSON["client_secret"] != nil {
			t.Fatalf("register: %d %s", a.Status, a.Body)
		}
		if diff := cmp.Diff([]any{[]any{"authorization_code"}, "stocks/read"}, []any{a.JSON["grant_types"], a.JSON["scope"]}); diff != "" {
			t.Errorf("registered (-want +got):\n%s", diff)
		}
		got := h.introspected(h.tokens(id, john).JSON["access_token"].(string))
		if got["client_type"] != "mcp" || got["client_assurance_level"] != 1.0 || got["region"] != "USA" || got["aud"] != h.cfg.MCPResource() {
			t.Errorf("claims %v", got)
		}
		c, err := h.clients.Find(t.Context(), "gateway")
		if err != nil || c.Name != "API gateway" {
			t.Errorf("the gateway is now %+v, %v", c, err)
		}
	})
}
