package site_test

import (
	"strings"
	"testing"

	"demo.example/services/internal/site"
)

// TestURLs: whatever the settings, an issuer and a resource are https (attack
// S5): there is no setting for their scheme.
func TestURLs(t *testing.T) {
	local := site.Site{Domain: "demo.localhost", HTTPSPort: 8443}
	other := site.Site{Domain: "demo.example", HTTPSPort: 443}
	tests := map[string]struct{ got, want string }{
		"issuer":               {local.Issuer(), "https://login.demo.localhost:8443"},
		"issuer, implied port": {other.Issuer(), "https://login.demo.example"},
		"MCP resource":         {local.MCPResource(), "https://mcp.demo.localhost:8443/"},
		"API resource":         {other.APIResource(), "https://api.demo.example"},
		"landing page":         {local.Origin(""), "https://demo.localhost:8443"},
		"client document":      {other.ClientDocument(), "https://client.demo.example/oauth-client.json"},
	}
	for name, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", name, tt.got, tt.want)
		}
	}
}

func TestCanonicalResource(t *testing.T) {
	s := site.Site{Domain: "demo.localhost", HTTPSPort: 8443}
	tests := map[string]string{
		"https://mcp.demo.localhost:8443/":   s.MCPResource(),
		"https://mcp.demo.localhost:8443":    s.MCPResource(),
		"https://api.demo.localhost:8443/":   s.APIResource(),
		"https://api.demo.localhost:8443":    s.APIResource(),
		"https://login.demo.localhost:8443/": s.Issuer(),
		"https://mcp.demo.localhost:8443//":  "https://mcp.demo.localhost:8443//",
		"https://mcp.demo.localhost:8443/?":  "https://mcp.demo.localhost:8443/?",
		"https://mcp.demo.localhost:8443/#":  "https://mcp.demo.localhost:8443/#",
		"https://MCP.demo.localhost:8443/":   "https://MCP.demo.localhost:8443/",
		"https://mcp.demo.localhost:8443/%2": "https://mcp.demo.localhost:8443/%2",
		"":                                   "",
	}
	for raw, want := range tests {
		if got := s.CanonicalResource(raw); got != want {
			t.Errorf("CanonicalResource(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestValidateNamesTheVariable(t *testing.T) {
	tests := map[string]struct {
		site site.Site
		want string // the variable named, empty when valid
	}{
		"default":      {site.Site{Domain: "demo.localhost", HTTPSPort: 8443}, ""},
		"no dot":       {site.Site{Domain: "localhost", HTTPSPort: 8443}, "DOMAIN"},
		"scheme":       {site.Site{Domain: "https://demo.localhost", HTTPSPort: 8443}, "DOMAIN"},
		"S5 http":      {site.Site{Domain: "http://demo.localhost", HTTPSPort: 8443}, "DOMAIN"},
		"S5 wildcard":  {site.Site{Domain: "*.demo.localhost", HTTPSPort: 8443}, "DOMAIN"},
		"upper case":   {site.Site{Domain: "Demo.localhost", HTTPSPort: 8443}, "DOMAIN"},
		"port zero":    {site.Site{Domain: "demo.localhost"}, "HTTPS_PORT"},
		"port too big": {site.Site{Domain: "demo.localhost", HTTPSPort: 65536}, "HTTPS_PORT"},
	}
	for name, tt := range tests {
		err := tt.site.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want+":")) {
			t.Errorf("%s: got %v, want an error that names %q", name, err, tt.want)
		}
	}
}
