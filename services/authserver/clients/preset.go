package clients

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/config"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/site"
)

// defaultPresets are the reviewed clients of the demo.
//
//go:embed presets.json
var defaultPresets []byte

// preset is a client in the reviewed file. Unlike a registration it may say
// how far the client is trusted, because an administrator wrote it. The words
// mcp and api stand for the resources, login for this server itself (it tells
// who signed in, and nothing else), and {client} and {admin} in a redirect URI
// for the origins of the demo client and of the administration.
type preset struct {
	ID           string   `json:"client_id"`
	Name         string   `json:"client_name"`
	RedirectURIs []string `json:"redirect_uris"`
	LogoutURIs   []string `json:"post_logout_redirect_uris"`
	GrantTypes   []string `json:"grant_types"`
	AuthMethod   string   `json:"token_endpoint_auth_method"`
	SecretFile   string   `json:"secret_file"`
	Scope        string   `json:"scope"`
	Resources    []string `json:"resources"`
	Type         string   `json:"client_type"`
	Assurance    int      `json:"client_assurance_level"`
	Remember     bool     `json:"remember_consent"`
	BoundTokens  bool     `json:"dpop_bound_access_tokens"` // RFC 9449 §5.2

	Region     string          `json:"region"` // whose stocks a client sees that acts for itself (client_credentials)
	SigningAlg string          `json:"token_endpoint_auth_signing_alg"`
	JWKS       json.RawMessage `json:"jwks"` // public keys, for private_key_jwt
}

// LoadPresets reads the reviewed clients from file, or the demo's own when
// file is empty. Secrets are files in secretsDir.
func LoadPresets(file, secretsDir string, s site.Site) (map[string]store.Client, error) {
	raw := defaultPresets
	if file != "" {
		var err error
		if raw, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("CLIENTS_FILE: %w", err)
		}
	}
	var presets []preset
	if err := json.Unmarshal(raw, &presets); err != nil {
		return nil, fmt.Errorf("CLIENTS_FILE: %w", err)
	}
	out := make(map[string]store.Client, len(presets))
	for _, p := range presets {
		c, err := p.client(secretsDir, s)
		if err != nil {
			return nil, fmt.Errorf("CLIENTS_FILE: client %q: %w", p.ID, err)
		}
		if _, twice := out[c.ID]; twice {
			return nil, fmt.Errorf("CLIENTS_FILE: client %q is there twice", p.ID)
		}
		out[c.ID] = c
	}
	return out, nil
}

func (p preset) client(secretsDir string, s site.Site) (store.Client, error) {
	c := store.Client{
		ID:           p.ID,
		Registration: store.RegisteredByReview,
		Name:         p.Name,
		GrantTypes:   p.GrantTypes,
		AuthMethod:   p.AuthMethod,
		Scope:        p.Scope,
		Type:         p.Type,
		Assurance:    p.Assurance,
		Remember:     p.Remember,
		Region:       p.Region,
		BoundTokens:  p.BoundTokens,
	}
	if p.ID == "" || p.Name == "" {
		return c, fmt.Errorf("client_id and client_name are required")
	}
	if !slices.Contains(AuthMethods, p.AuthMethod) {
		return c, fmt.Errorf("token_endpoint_auth_method: use one of %s", strings.Join(AuthMethods, ", "))
	}
	for _, uri := range p.RedirectURIs {
		uri = strings.NewReplacer("{client}", s.Origin("client"), "{admin}", s.Origin("admin")).Replace(uri)
		if err := CheckRedirect(uri); err != nil {
			return c, fmt.Errorf("redirect_uris: %w", err)
		}
		c.RedirectURIs = append(c.RedirectURIs, uri)
	}
	for _, uri := range p.LogoutURIs {
		c.LogoutURIs = append(c.LogoutURIs, strings.ReplaceAll(uri, "{client}", s.Origin("client")))
	}
	if err := checkLogoutURIs(c.LogoutURIs); err != nil {
		return c, err
	}
	for _, name := range p.Resources {
		switch name {
		case "mcp":
			c.Resources = append(c.Resources, s.MCPResource())
		case "api":
			c.Resources = append(c.Resources, s.APIResource())
		case "login":
			c.Resources = append(c.Resources, s.Issuer())
		default:
			return c, fmt.Errorf("resources: %q is none of mcp, api and login", name)
		}
	}
	if slices.Contains(p.GrantTypes, "authorization_code") {
		if len(c.Resources) == 0 || len(c.RedirectURIs) == 0 || c.Type != TypeMCP && c.Type != TypeWeb || c.Assurance < AssuranceNone || c.Assurance > AssuranceKey {
			return c, fmt.Errorf("authorization_code needs redirect_uris, resources, client_type and client_assurance_level")
		}
	}
	if slices.Contains(p.GrantTypes, "client_credentials") {
		if p.AuthMethod == AuthNone || len(c.Resources) == 0 || c.Type != TypeMCP && c.Type != TypeWeb || c.Assurance < AssuranceNone || c.Assurance > AssuranceKey {
			return c, fmt.Errorf("client_credentials needs a client that authenticates, resources, client_type and client_assurance_level")
		}
	}
	if c.Assurance == AssuranceKey && p.AuthMethod != AuthPrivateKey {
		return c, fmt.Errorf("client_assurance_level 3 is for a client that proves a key: use private_key_jwt")
	}
	if err := registerKeys(&c, p.JWKS, "", p.SigningAlg); err != nil {
		return c, err
	}
	if p.AuthMethod == AuthBasic || p.AuthMethod == AuthPost {
		secret, err := config.ReadSecret("SECRETS_DIR", filepath.Join(secretsDir, p.SecretFile))
		if err != nil {
			return c, err
		}
		c.SecretHash = store.HashOf(string(secret))
	} else if p.AuthMethod == AuthNone && slices.Contains(p.GrantTypes, oauth.GrantTokenExchange) {
		return c, fmt.Errorf("token exchange needs a client that authenticates")
	}
	return c, nil
}
