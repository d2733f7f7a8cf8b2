package clients

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/site"
)

var demo = site.Site{Domain: "demo.example", HTTPSPort: 443}

// secretsDir returns a directory with the secrets of the demo's clients.
func secretsDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, secret := range map[string]string{
		"client-gateway": strings.Repeat("g", 32) + "\n", "client-stocksmcp": strings.Repeat("m", 32), "client-stocks-web": strings.Repeat("w", 32), "client-stocks-report": strings.Repeat("r", 32), "client-stocksapi": strings.Repeat("a", 32), "client-admin": strings.Repeat("d", 32), "short": "short",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDemoPresets(t *testing.T) {
	got, err := LoadPresets("", secretsDir(t), demo)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]store.Client{
		"mcp-inspector": {
			Name: "MCP Inspector", RedirectURIs: []string{"http://localhost:6274/oauth/callback", "http://127.0.0.1:6276/oauth/callback"},
			GrantTypes: []string{"authorization_code", "refresh_token"}, AuthMethod: AuthNone, Scope: "stocks/read stocks/trade openid email offline_access",
			Resources: []string{"https://mcp.demo.example/"}, Type: TypeMCP, Assurance: AssuranceNone,
		},
		"stocks-web": {
			Name: "Stocks Web", RedirectURIs: []string{"https://client.demo.example/callback"},
			GrantTypes: []string{"authorization_code", "refresh_token"}, AuthMethod: AuthBasic, Scope: "stocks/read stocks/trade openid email offline_access",
			LogoutURIs: []string{"https://client.demo.example/"},
			Resources:  []string{"https://api.demo.example"}, Type: TypeWeb, Assurance: AssuranceDomain, Remember: true, SecretHash: store.HashOf(strings.Repeat("w", 32)),
		},
		"stocks-report": {
			Name: "Nightly stocks report", GrantTypes: []string{"client_credentials"}, AuthMethod: AuthBasic, Scope: "stocks/read", Region: "USA",
			Resources: []string{"https://api.demo.example"}, Type: TypeWeb, Assurance: AssuranceDomain, SecretHash: store.HashOf(strings.Repeat("r", 32)),
		},
		"admin": {
			Name: "Administration", RedirectURIs: []string{"https://admin.demo.example/admin/callback"}, GrantTypes: []string{"authorization_code"}, AuthMethod: AuthBasic,
			Scope: "openid", Resources: []string{"https://login.demo.example"}, Type: TypeWeb, Assurance: AssuranceDomain, Remember: true, SecretHash: store.HashOf(strings.Repeat("d", 32)),
		},
		"gateway":   {Name: "API gateway", GrantTypes: []string{}, AuthMethod: AuthBasic, SecretHash: store.HashOf(strings.Repeat("g", 32))},
		"stocksapi": {Name: "Stocks API", GrantTypes: []string{}, AuthMethod: AuthBasic, SecretHash: store.HashOf(strings.Repeat("a", 32))},
		"stocksmcp": {Name: "Stocks MCP server", GrantTypes: []string{oauth.GrantTokenExchange}, AuthMethod: AuthBasic, SecretHash: store.HashOf(strings.Repeat("m", 32))},
	}
	for id, c := range want {
		c.ID, c.Registration = id, store.RegisteredByReview
		want[id] = c
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// Consent that is remembered is for clients that prove who they are:
	// anybody can begin a request in a public client's name.
	for id, c := range got {
		if c.Remember && c.AuthMethod == AuthNone || c.AuthMethod == AuthNone && slices.Contains(c.GrantTypes, oauth.GrantTokenExchange) {
			t.Errorf("%s is a public client with the rights of a confidential one", id)
		}
	}
}

// TestBadPresets: an error names the file's variable, the client, and what is
// wrong with it. A file with a wildcard or a short secret is one that the
// server does not start with (attack S5).
func TestBadPresets(t *testing.T) {
	const good = `"client_id":"c","client_name":"C","redirect_uris":["https://a.example/cb"],"grant_types":["authorization_code"],"token_endpoint_auth_method":"none","resources":["mcp"],"client_type":"mcp","client_assurance_level":1`
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not there to be changed", old)
		}
		return "[{" + strings.Replace(good, old, new, 1) + "}]"
	}
	tests := map[string]struct{ body, want string }{
		"good":                {"[{" + good + "}]", ""},
		"not JSON":            {"clients", ""},
		"an object":           {"{" + good + "}", ""},
		"no id":               {change(`"client_id":"c",`, ``), "client_id"},
		"no name":             {change(`"client_name":"C",`, ``), "client_name"},
		"twice":               {"[{" + good + "},{" + good + "}]", `"c" is there twice`},
		"no method":           {change(`"token_endpoint_auth_method":"none",`, ``), "token_endpoint_auth_method"},
		"unknown method":      {change(`"none"`, `"private_key_jwt"`), "token_endpoint_auth_method"},
		"bad redirect":        {change("https://a.example/cb", "http://a.example/cb"), "redirect_uris"},
		"bad placeholder":     {change("https://a.example/cb", "{api}/cb"), "redirect_uris"},
		"S5 any path":         {change("https://a.example/cb", "https://a.example/*"), "redirect_uris"},
		"S5 any host":         {change("https://a.example/cb", "https://*.example/cb"), "redirect_uris"},
		"S5 anything":         {change("https://a.example/cb", "*"), "redirect_uris"},
		"S5 a pattern":        {change("https://a.example/cb", "^https://.*$"), "redirect_uris"},
		"no redirect":         {change(`"redirect_uris":["https://a.example/cb"],`, ``), "redirect_uris"},
		"unknown resource":    {change(`["mcp"]`, `["https://mcp.demo.example/"]`), "resources"},
		"no resource":         {change(`"resources":["mcp"],`, ``), "resources"},
		"unknown type":        {change(`"client_type":"mcp"`, `"client_type":"admin"`), "client_type"},
		"assurance too high":  {change(`"client_assurance_level":1`, `"client_assurance_level":4`), "client_assurance_level"},
		"no assurance":        {change(`,"client_assurance_level":1`, ``), "client_assurance_level"},
		"public exchange":     {change(`["authorization_code"]`, `["authorization_code","`+oauth.GrantTokenExchange+`"]`), "token exchange"},
		"no secret file":      {change(`"none"`, `"client_secret_basic"`), "SECRETS_DIR"},
		"secret file missing": {change(`"none"`, `"client_secret_basic","secret_file":"missing"`), "SECRETS_DIR"},
		"S5 secret too short": {change(`"none"`, `"client_secret_post","secret_file":"short"`), "SECRETS_DIR"},
	}
	dir := secretsDir(t)
	file := filepath.Join(dir, "clients.json")
	for name, tt := range tests {
		if err := os.WriteFile(file, []byte(tt.body), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadPresets(file, dir, demo)
		switch {
		case name == "good" && err != nil:
			t.Errorf("%s: %v", name, err)
		case name != "good" && (err == nil || !strings.HasPrefix(err.Error(), "CLIENTS_FILE: ") || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want an error about %q", name, err, tt.want)
		}
	}
	if _, err := LoadPresets(filepath.Join(dir, "missing.json"), dir, demo); err == nil || !strings.HasPrefix(err.Error(), "CLIENTS_FILE: ") {
		t.Errorf("missing file: %v", err)
	}
}
