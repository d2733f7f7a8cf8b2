package grants

import (
	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// idTokenClaims tell a client who signed in (OpenID Connect Core §2). An ID
// token is for the client alone; its typ keeps it from passing for an access
// token.
type idTokenClaims struct {
	jwt.RegisteredClaims
	Nonce    string `json:"nonce,omitempty"`
	AuthTime int64  `json:"auth_time"`
	ACR      string `json:"acr"`
	Email    string `json:"email,omitempty"`
	Verified bool   `json:"email_verified,omitempty"`
}

func (s *Service) idToken(c store.Client, g store.Grant, u store.User) (string, error) {
	now := s.Now()
	claims := idTokenClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    s.Site.Issuer(),
			Subject:   g.UserID,
			Audience:  jwt.ClaimStrings{c.ID},
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(AccessLifetime)),
		},
		Nonce:    g.Nonce,
		AuthTime: g.AuthTime.Unix(),
		ACR:      ACR,
	}
	if oauth.HasScope(g.Scope, oauth.ScopeEmail) {
		claims.Email, claims.Verified = u.Email, true
	}
	return s.Keys.Sign("JWT", claims)
}
