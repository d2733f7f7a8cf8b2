package grants

import (
	"crypto/sha256"
	"encoding/base64"

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
	AtHash   string `json:"at_hash"`
	Email    string `json:"email,omitempty"`
	Verified bool   `json:"email_verified,omitempty"`
}

func (s *Service) idToken(c store.Client, g store.Grant, u store.User, accessToken string) (string, error) {
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
		AtHash:   atHash(accessToken),
	}
	if oauth.HasScope(g.Scope, oauth.ScopeEmail) {
		claims.Email, claims.Verified = u.Email, true
	}
	return s.Keys.Sign(idTokenType, claims)
}

// atHash ties an ID token to the access token that comes with it: the left
// half of its hash (OpenID Connect Core §3.1.3.6).
func atHash(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
