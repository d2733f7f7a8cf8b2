package authserver

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// userinfo serves GET and POST /userinfo (OpenID Connect Core §5.3). Here this
// server is a protected resource like the others: it takes the tokens that
// name it as their audience.
func (s *server) userinfo(c echo.Context) error {
	r := c.Request()
	secret, refusal := bearer(r.Header.Values("Authorization"))
	if refusal != nil {
		refusal.Write(c.Response())
		return nil
	}
	info, err := s.grants.UserInfo(r.Context(), secret)
	switch {
	case errors.Is(err, store.ErrNotFound):
		oauth.Challenge{Error: "invalid_token", Description: "get a new token with scope=openid and resource=" + s.cfg.Issuer(), Scope: oauth.ScopeOpenID}.Write(c.Response())
		return nil
	case errors.Is(err, grants.ErrScope):
		oauth.Challenge{Error: "insufficient_scope", Scope: oauth.ScopeOpenID}.Write(c.Response())
		return nil
	case err != nil:
		return err
	}
	return c.JSON(http.StatusOK, info)
}

// bearer returns the token of a request (RFC 6750 §2.1), or what to answer
// when there is none, or more than one. A token in the URL or in the body is
// not looked for: it would end in logs.
func bearer(authorizations []string) (string, *oauth.Challenge) {
	if len(authorizations) == 0 {
		return "", &oauth.Challenge{Scope: oauth.ScopeOpenID}
	}
	scheme, secret, _ := strings.Cut(authorizations[0], " ")
	if len(authorizations) > 1 || !strings.EqualFold(scheme, "Bearer") || secret == "" || strings.ContainsAny(secret, " ,") {
		return "", &oauth.Challenge{Error: "invalid_request", Description: "send one Authorization header: Bearer and the token"}
	}
	return secret, nil
}
