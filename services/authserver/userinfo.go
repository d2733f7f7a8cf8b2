package authserver

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/dpop"
	"demo.example/services/internal/oauth"
)

// userinfo serves GET and POST /userinfo (OpenID Connect Core §5.3). Here this
// server is a protected resource like the others: it takes the tokens that
// name it as their audience.
func (s *server) userinfo(c echo.Context) error {
	r := c.Request()
	secret, refusal := bearer(r.Header.Values("Authorization"))
	if refusal != nil {
		if refusal.Error == "" {
			undecided(c) // who comes without a token only asks where to get one
		}
		refuse(c, *refusal)
		return nil
	}
	info, err := s.grants.UserInfo(r.Context(), secret, func(boundTo string) error {
		return s.proofs.CheckToken(c.Response().Header(), r, s.cfg.Issuer()+"/userinfo", secret, boundTo)
	})
	var badProof *oauth.Error
	switch {
	case errors.Is(err, store.ErrNotFound) || errors.Is(err, dpop.ErrScheme):
		refuse(c, oauth.Challenge{Error: "invalid_token", Description: "get a new token with scope=openid and resource=" + s.cfg.Issuer(), Scope: oauth.ScopeOpenID})
		return nil
	case errors.Is(err, grants.ErrScope):
		refuse(c, oauth.Challenge{Error: "insufficient_scope", Scope: oauth.ScopeOpenID})
		return nil
	case errors.As(err, &badProof):
		refuse(c, oauth.Challenge{Error: badProof.Code, Description: badProof.Description, Scope: oauth.ScopeOpenID})
		return nil
	case err != nil:
		return err
	}
	return c.JSON(http.StatusOK, info)
}

// refuse challenges, for tokens of both types.
func refuse(c echo.Context, refusal oauth.Challenge) {
	audit.On(c.Request().Context()).Reason = refusal.Error
	bearer, proof := dpop.Challenges(refusal)
	bearer.Write(c.Response(), proof)
}

// bearer returns the token of a request (RFC 6750 §2.1), or what to answer
// when there is none, or more than one. A token in the URL or in the body is
// not looked for: it would end in logs.
func bearer(authorizations []string) (string, *oauth.Challenge) {
	if len(authorizations) == 0 {
		return "", &oauth.Challenge{Scope: oauth.ScopeOpenID}
	}
	scheme, secret, _ := strings.Cut(authorizations[0], " ")
	if len(authorizations) > 1 || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, dpop.Scheme) || secret == "" || strings.ContainsAny(secret, " ,") {
		return "", &oauth.Challenge{Error: "invalid_request", Description: "send one Authorization header: Bearer and the token"}
	}
	return secret, nil
}
