package clients

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/store"
)

// FuzzRegistration: whatever a stranger sends, what is registered is harmless.
func FuzzRegistration(f *testing.F) {
	for _, seed := range []string{
		`{"redirect_uris":["https://a.example/cb"]}`, `{"redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"none"}`,
		`{"redirect_uris":["javascript:alert(1)"]}`, `{"redirect_uris":["cursor://x"],"grant_types":["refresh_token","authorization_code"]}`,
		`{"grant_types":["urn:ietf:params:oauth:grant-type:device_code"]}`, `{"redirect_uris":["http://127.0.0.1:1/"],"scope":"admin stocks/read","client_type":"web"}`,
		`{"REDIRECT_URIS":["https://a.example/"],"Assurance":3,"Registration":"preset"}`, `{"redirect_uris":null}`, `[]`, `{`, "\x00",
	} {
		f.Add([]byte(seed))
	}
	r := &Registry{Policy: Policy{Scope: "stocks/read openid", Resource: "https://mcp.example/"}, Now: time.Now}
	f.Fuzz(func(t *testing.T, body []byte) {
		reg, err := ParseRegistration(body)
		if err != nil {
			return
		}
		c, secret, err := r.describe(reg)
		if err != nil {
			return
		}
		if !strings.HasPrefix(c.ID, "dcr-") || c.Registration != store.RegisteredDynamically || c.Type != TypeMCP || c.Remember || !slices.Equal(c.Resources, []string{"https://mcp.example/"}) {
			t.Errorf("%q raised its trust: %+v", body, c)
		}
		if (secret == "") != (c.SecretHash == store.Hash{}) {
			t.Errorf("%q: secret and hash do not belong together", body)
		}
		for _, scope := range strings.Fields(c.Scope) {
			if scope != "stocks/read" && scope != "openid" {
				t.Errorf("%q may ask for %q", body, scope)
			}
		}
		for _, g := range c.GrantTypes {
			if !slices.Contains(offered, g) {
				t.Errorf("%q may use %q", body, g)
			}
		}
		for _, uri := range c.RedirectURIs {
			u, err := url.Parse(uri)
			if err != nil || u.Scheme == "javascript" || u.Scheme == "data" || u.Scheme == "file" || u.Scheme == "http" && !IsLoopback(uri) || strings.ContainsAny(uri, "#*\\ \t\n") {
				t.Errorf("%q redirects to %q", body, uri)
			}
		}
	})
}
