package authserver

import (
	"io"
	"mime"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
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
	AuthMethod    string   `json:"token_endpoint_auth_method"`
	GrantTypes    []string `json:"grant_types"`
	ResponseTypes []string `json:"response_types"`
	Scope         string   `json:"scope"`
	BoundTokens   bool     `json:"dpop_bound_access_tokens,omitempty"`
}

// register serves POST /register (RFC 7591). Anybody may: what a client gets
// by it is the right to ask a user.
func (s *server) register(c echo.Context) error {
	r := c.Request()
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return oauth.InvalidRequest("the body must be application/json")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return oauth.InvalidRequest("the body is too large, or was cut off")
	}
	metadata, err := clients.ParseRegistration(body)
	if err != nil {
		return err
	}
	client, secret, err := s.clients.Register(r.Context(), metadata)
	if err != nil {
		return err
	}
	s.log.InfoContext(r.Context(), "client registered", "client_id", client.ID, "client_name", client.Name)
	return c.JSON(http.StatusCreated, registrationOf(client, secret))
}

func registrationOf(c store.Client, secret string) registered {
	out := registered{
		ClientID: c.ID, Secret: secret, IssuedAt: c.CreatedAt.Unix(),
		Name: c.Name, URI: c.URI, RedirectURIs: c.RedirectURIs, AuthMethod: c.AuthMethod,
		GrantTypes: c.GrantTypes, ResponseTypes: []string{"code"}, Scope: c.Scope, BoundTokens: c.BoundTokens,
	}
	if secret != "" {
		out.SecretExpires = new(int64)
	}
	return out
}
