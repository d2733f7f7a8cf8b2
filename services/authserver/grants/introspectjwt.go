package grants

import (
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/store"
)

// An introspection answer as a JWT is evidence that this server gave it (RFC
// 9701). It is about an access token and must never pass for one: its typ is
// another, its audience is the caller and no resource, and it has neither sub
// nor exp at the top (§5 and §8.1).
const (
	MediaTypeIntrospection = "application/token-introspection+jwt"
	introspectionType      = "token-introspection+jwt"
)

// SignIntrospection returns the answer to an introspection request as a JWT
// for the resource server that asked.
func (s *Service) SignIntrospection(caller store.Client, answer any) (string, error) {
	raw, err := s.Keys.Sign(introspectionType, struct {
		jwt.RegisteredClaims
		Answer any `json:"token_introspection"`
	}{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:   s.Site.Issuer(),
			Audience: jwt.ClaimStrings{caller.ID},
			IssuedAt: jwt.NewNumericDate(s.Now()),
		},
		Answer: answer,
	})
	if err != nil {
		return "", fmt.Errorf("sign introspection answer: %w", err)
	}
	return raw, nil
}
