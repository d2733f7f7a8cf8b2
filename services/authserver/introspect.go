package authserver

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// introspect serves POST /introspect (RFC 7662). A caller that accepts
// application/jwt gets the JWT behind the opaque token, to use in its place
// (the phantom token pattern). One that accepts
// application/token-introspection+jwt gets the answer itself signed (RFC
// 9701). What is not active, and what the caller may not see, is
// {"active": false} for all of them.
func (s *server) introspect(c echo.Context) error {
	r := c.Request()
	caller := clientOf(r.Context())
	claims, err := s.grants.Introspect(r.Context(), caller, r.PostFormValue("token"))
	active := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	var answer any = map[string]bool{"active": false}
	if active {
		answer = struct {
			Active bool `json:"active"`
			token.Claims
			TokenType string `json:"token_type"`
		}{true, claims, grants.TokenType(claims)}
	}
	switch want := introspectionType(r.Header); {
	case want == oauth.MediaTypeJWT && active:
		phantom, err := s.grants.Phantom(claims)
		if err != nil {
			return err
		}
		return c.Blob(http.StatusOK, want, []byte(phantom))
	case want == grants.MediaTypeIntrospection:
		signed, err := s.grants.SignIntrospection(caller, answer)
		if err != nil {
			return err
		}
		return c.Blob(http.StatusOK, want, []byte(signed))
	}
	return c.JSON(http.StatusOK, answer)
}
