package authserver

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// introspect serves POST /introspect (RFC 7662). A caller that accepts
// application/jwt gets the JWT behind the opaque token, to use in its place
// (the phantom token pattern). What is not active, and what the caller may not
// see, is {"active": false} in both.
func (s *server) introspect(c echo.Context) error {
	r := c.Request()
	claims, err := s.grants.Introspect(r.Context(), clientOf(r.Context()), r.PostFormValue("token"))
	if errors.Is(err, store.ErrNotFound) {
		return c.JSON(http.StatusOK, map[string]bool{"active": false})
	}
	if err != nil {
		return err
	}
	if strings.Contains(r.Header.Get("Accept"), oauth.MediaTypeJWT) {
		raw, err := s.grants.Phantom(claims)
		if err != nil {
			return err
		}
		return c.Blob(http.StatusOK, oauth.MediaTypeJWT, []byte(raw))
	}
	return c.JSON(http.StatusOK, struct {
		Active bool `json:"active"`
		token.Claims
		TokenType string `json:"token_type"`
	}{true, claims, "Bearer"})
}
