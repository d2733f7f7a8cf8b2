package clients

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

func register(t *testing.T, r *Registry, body string) (store.Client, string, error) {
	t.Helper()
	reg, err := ParseRegistration([]byte(body))
	if err != nil {
		return store.Client{}, "", err
	}
	got, err := r.Register(t.Context(), reg)
	return got.Client, got.Secret, err
}

// TestRegisterEarnsNoTrust: whatever a client writes about itself, it gets
// what the policy gives to strangers (attacks D5 and D6).
func TestRegisterEarnsNoTrust(t *testing.T) {
	want := store.Client{
		Registration: store.RegisteredDynamically, Name: "Agent", RedirectURIs: []string{"http://127.0.0.1/cb"},
		GrantTypes: []string{"authorization_code"}, AuthMethod: AuthNone, Scope: "stocks/read openid",
		Resources: []string{"https://mcp.demo.example/"}, Type: TypeMCP, Assurance: AssuranceNone, CreatedAt: now,
	}
	for name, extra := range map[string]string{
		"plain":               ``,
		"type":                `,"client_type":"web","Type":"web"`,
		"assurance":           `,"client_assurance_level":3,"Assurance":3`,
		"region":              `,"region":"Europe"`,
		"scope of an admin":   `,"scope":"admin stocks/trade"`,
		"more scope":          `,"scope":"openid stocks/read admin"`,
		"grants":              `,"grant_types":["authorization_code","client_credentials","urn:ietf:params:oauth:grant-type:token-exchange","password"]`,
		"its own id":          `,"client_id":"gateway","ID":"gateway","id":"gateway"`,
		"an id that is a URL": `,"client_id":"https://agent.example/c.json"`,
		"remembered consent":  `,"remember_consent":true,"Remember":true,"first_party":true,"trusted":true`,
		"registration":        `,"registration":"preset","Registration":"preset"`,
		"resources":           `,"resources":["https://api.demo.example"],"Resources":["https://api.demo.example"]`,
		"secret":              `,"client_secret":"chosen by the client","SecretHash":[1]`,
		"everything else":     `,"logo_uri":"javascript:alert(1)","jwks_uri":"http://169.254.169.254/","jwks":{},"contacts":["x"],"software_statement":"x"`,
	} {
		r, m := newRegistry(store.Client{ID: "gateway", Name: "API gateway"})
		got, secret, err := register(t, r, `{"client_name":"Agent","redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"`+extra+`}`)
		if err != nil || secret != "" {
			t.Errorf("%s: secret %q, error %v", name, secret, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Client{}, "ID")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !strings.HasPrefix(got.ID, "dcr-") || len(got.ID) < 26 {
			t.Errorf("%s: id %q", name, got.ID)
		}
		if len(m.clients) != 2 || m.clients["gateway"].Name != "API gateway" {
			t.Errorf("%s: the store holds %v", name, m.clients)
		}
		if diff := cmp.Diff(got, m.clients[got.ID]); diff != "" {
			t.Errorf("%s: stored (-returned +stored):\n%s", name, diff)
		}
	}
}

func TestRegisterSecret(t *testing.T) {
	for method, wantSecret := range map[string]bool{AuthNone: false, AuthBasic: true, AuthPost: true, "": true} {
		r, m := newRegistry()
		c, secret, err := register(t, r, `{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"`+method+`"}`)
		if err != nil {
			t.Fatal(err)
		}
		if method == "" && c.AuthMethod != AuthBasic {
			t.Errorf("the default is %q, want %q (RFC 7591 §2)", c.AuthMethod, AuthBasic)
		}
		if wantSecret != (len(secret) >= 43) || wantSecret && c.SecretHash != store.HashOf(secret) || !wantSecret && c.SecretHash != (store.Hash{}) {
			t.Errorf("%q: secret of %d characters, hash %x", method, len(secret), c.SecretHash)
		}
		raw, err := json.Marshal(m.clients[c.ID])
		if err != nil || wantSecret && strings.Contains(string(raw), secret) {
			t.Errorf("%q: the secret is stored: %s, %v", method, raw, err)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	many := `"http://127.0.0.1/1"` + strings.Repeat(`,"http://127.0.0.1/1"`, 10)
	tests := map[string]struct{ body, want string }{
		"no redirect":             {`{}`, "invalid_redirect_uri"},
		"null":                    {`null`, "invalid_redirect_uri"},
		"empty list":              {`{"redirect_uris":[]}`, "invalid_redirect_uri"},
		"eleven":                  {`{"redirect_uris":[` + many + `]}`, "invalid_redirect_uri"},
		"one bad among good":      {`{"redirect_uris":["https://a.example/","javascript:alert(1)"]}`, "invalid_redirect_uri"},
		"wildcard":                {`{"redirect_uris":["https://*.example/"]}`, "invalid_redirect_uri"},
		"plain http":              {`{"redirect_uris":["http://a.example/"]}`, "invalid_redirect_uri"},
		"fragment":                {`{"redirect_uris":["https://a.example/#x"]}`, "invalid_redirect_uri"},
		"user information":        {`{"redirect_uris":["https://u@a.example/"]}`, "invalid_redirect_uri"},
		"2 kB":                    {`{"redirect_uris":["https://a.example/` + strings.Repeat("a", 2048) + `"]}`, "invalid_redirect_uri"},
		"tab in the scheme":       {`{"redirect_uris":["java\tscript:alert(1)"]}`, "invalid_redirect_uri"},
		"NUL in the scheme":       {`{"redirect_uris":["java\u0000script:alert(1)"]}`, "invalid_redirect_uri"},
		"authentication":          {`{"redirect_uris":["https://a.example/"],"token_endpoint_auth_method":"private_key_jwt"}`, "invalid_client_metadata"},
		"only client_credentials": {`{"redirect_uris":["https://a.example/"],"grant_types":["client_credentials"]}`, "invalid_client_metadata"},
		"only refresh_token":      {`{"redirect_uris":["https://a.example/"],"grant_types":["refresh_token"]}`, "invalid_client_metadata"},
		"implicit":                {`{"redirect_uris":["https://a.example/"],"response_types":["token"]}`, "invalid_client_metadata"},
		"long name":               {`{"redirect_uris":["https://a.example/"],"client_name":"` + strings.Repeat("ü", 101) + `"}`, "invalid_client_metadata"},
		"javascript client_uri":   {`{"redirect_uris":["https://a.example/"],"client_uri":"javascript:alert(1)"}`, "invalid_client_metadata"},
		"http client_uri":         {`{"redirect_uris":["https://a.example/"],"client_uri":"http://a.example/"}`, "invalid_client_metadata"},
		"client_uri with quotes":  {`{"redirect_uris":["https://a.example/"],"client_uri":"https://a.example/ onerror=x"}`, "invalid_client_metadata"},
		"empty":                   {``, "invalid_client_metadata"},
		"a list":                  {`[]`, "invalid_client_metadata"},
		"a string":                {`"x"`, "invalid_client_metadata"},
		"two objects":             {`{"redirect_uris":["https://a.example/"]}{}`, "invalid_client_metadata"},
		"a string for a list":     {`{"redirect_uris":"https://a.example/"}`, "invalid_client_metadata"},
		"cut off":                 {`{"redirect_uris":["https://a.example/"`, "invalid_client_metadata"},
	}
	for name, tt := range tests {
		r, m := newRegistry()
		_, _, err := register(t, r, tt.body)
		var e *oauth.Error
		if !errors.As(err, &e) || e.Code != tt.want || e.Status != 400 {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
		if len(m.clients) != 0 {
			t.Errorf("%s: a client was stored: %v", name, m.clients)
		}
	}
	r, m := newRegistry()
	m.down = errors.New("the disk is full")
	var e *oauth.Error
	if _, _, err := register(t, r, `{"redirect_uris":["https://a.example/"]}`); err == nil || errors.As(err, &e) {
		t.Errorf("an outage looks like the client's mistake: %v", err)
	}
}

// FuzzParseRegistration: no body gets a client more than strangers get, and
// every refusal is one that the client is told.
func FuzzParseRegistration(f *testing.F) {
	f.Add([]byte(`{"client_name":"Agent","redirect_uris":["http://127.0.0.1/cb"],"grant_types":["authorization_code","refresh_token"],"scope":"openid"}`))
	f.Add([]byte(`{"redirect_uris":["com.example.app:/cb"],"token_endpoint_auth_method":"none","response_types":["code"],"client_uri":"https://a.example"}`))
	f.Add([]byte(`{"grant_types":["urn:ietf:params:oauth:grant-type:device_code"]}`))
	f.Add([]byte(`{"REDIRECT_URIS":["javascript:alert(1)"],"redirect_uris":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, _ := newRegistry()
		c, secret, err := register(t, r, string(body))
		if err != nil {
			var e *oauth.Error
			if !errors.As(err, &e) {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		for _, uri := range c.RedirectURIs {
			if err := CheckRedirect(uri); err != nil {
				t.Fatalf("registered: %v", err)
			}
		}
		for _, scope := range strings.Fields(c.Scope) {
			if !oauth.HasScope(r.Policy.Scope, scope) {
				t.Fatalf("scope %q", c.Scope)
			}
		}
		assurance := AssuranceNone
		if c.AuthMethod == AuthPrivateKey {
			assurance = AssuranceKey
		}
		redirected := AllowsGrant(c, "authorization_code")
		if c.Assurance != assurance || c.Type != TypeMCP || c.Remember || c.Registration != store.RegisteredDynamically ||
			(c.AuthMethod == AuthBasic || c.AuthMethod == AuthPost) != (secret != "") || redirected && len(c.RedirectURIs) == 0 || len(known(c.GrantTypes, offered)) != len(c.GrantTypes) {
			t.Fatalf("registered %+v", c)
		}
	})
}
