package authserver

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/internal/audit"
)

// registered is the answer to a registration (RFC 7591 §3.2.1): what was
// registered, which may be less than what was asked for.
type registered struct {
	ClientID      string   `json:"client_id"`
	Secret        string   `json:"client_secret,omitempty"`
	SecretExpires *int64   `json:"client_secret_expires_at,omitempty"` // 0: never
	IssuedAt      int64    `json:"client_id_issued_at"`                // seconds since 1970
	Name          string   `json:"client_name,omitempty"`
	URI           string   `json:"client_uri,omitempty"`
	RedirectURIs  []string `json:"redirect_uris"`
	LogoutURIs    []string `json:"post_logout_redirect_uris,omitempty"`
	AuthMethod    string   `json:"token_endpoint_auth_method"`
	GrantTypes    []string `json:"grant_types"`
	ResponseTypes []string `json:"response_types"`
	Scope         string   `json:"scope"`
	BoundTokens   bool     `json:"dpop_bound_access_tokens,omitempty"`

	JWKS       json.RawMessage `json:"jwks,omitempty"`
	SigningAlg string          `json:"token_endpoint_auth_signing_alg,omitempty"`
	Token      string          `json:"registration_access_token"` // RFC 7592 §3
	TokenURI   string          `json:"registration_client_uri"`
}

// register serves POST /register (RFC 7591). Anybody may: what a client gets
// by it is the right to ask a user.
func (s *server) register(c echo.Context) error {
	r := c.Request()
	body, err := readJSON(r)
	if err != nil {
		return err
	}
	metadata, err := clients.ParseRegistration(body)
	if err != nil {
		return err
	}
	client, err := s.clients.Register(r.Context(), metadata)
	if err != nil {
		return err
	}
	audit.On(r.Context()).Client = client.Client.ID
	s.log.InfoContext(r.Context(), "client registered", "client_id", client.Client.ID, "client_name", client.Client.Name)
	return c.JSON(http.StatusCreated, s.registrationOf(client))
}

func (s *server) registrationOf(r clients.Registered) registered {
	c, secret := r.Client, r.Secret
	out := registered{
		ClientID: c.ID, Secret: secret, IssuedAt: c.CreatedAt.Unix(),
		Name: c.Name, URI: c.URI, RedirectURIs: c.RedirectURIs, LogoutURIs: c.LogoutURIs, AuthMethod: c.AuthMethod,
		GrantTypes: c.GrantTypes, ResponseTypes: []string{}, Scope: c.Scope, BoundTokens: c.BoundTokens,
		JWKS: json.RawMessage(c.JWKS), SigningAlg: c.SigningAlg,
		Token: r.Token, TokenURI: s.cfg.Issuer() + "/register/" + url.PathEscape(c.ID),
	}
	if clients.AllowsGrant(c, "authorization_code") {
		out.ResponseTypes = []string{"code"}
	}
	if secret != "" {
		out.SecretExpires = new(int64)
	}
	return out
}
