package grants

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// ACR is how strongly users are authenticated here: by a passcode sent to
// their mailbox. It is a name of this deployment's own and claims no more
// than that (OWASP ASVS 5.0 V6.3.6).
const ACR = "urn:demo:acr:email-otp"

// resourceServers says whose tokens each resource server may look behind. The
// gateway stands before both resources.
func (s *Service) resourceServers() map[string][]string {
	return map[string][]string{"gateway": {s.Site.MCPResource(), s.Site.APIResource()}}
}

// Introspect returns the claims behind an opaque access token.
// ErrNotFound says that the token is not active, or not the caller's to see:
// the two look alike to everybody (RFC 7662 §2.2 and §4). A caller that is no
// resource server gets an oauth error.
func (s *Service) Introspect(ctx context.Context, caller store.Client, secret string) (token.Claims, error) {
	audiences, ok := s.resourceServers()[caller.ID]
	if !ok {
		audit.On(ctx).Kind = audit.Access
		return token.Claims{}, oauth.UnauthorizedClient("only resource servers may introspect")
	}
	t, err := s.Store.Token(ctx, store.HashOf(secret))
	if t, err = s.live(ctx, t, err); err != nil {
		return token.Claims{}, fmt.Errorf("find token: %w", err)
	}
	if t.Kind != store.AccessToken || !slices.Contains(audiences, t.Grant.Resource) {
		return token.Claims{}, store.ErrNotFound
	}
	s.uses.note(t.Grant, s.Now())
	claims := s.claims(t)
	claims.Confirmation = confirmation(t.JKT)
	return claims, nil
}

// Phantom returns the JWT behind an opaque token, whose claims Introspect
// returned just now. It is signed once and kept.
func (s *Service) Phantom(claims token.Claims) (string, error) {
	if raw, ok := s.jwts.Get(phantomKey(claims)); ok {
		return raw, nil
	}
	raw, err := s.Keys.Sign(token.Type, claims)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	s.jwts.Add(phantomKey(claims), raw)
	return raw, nil
}

// phantomKey is the token and all that may change while it lives: then another
// JWT is signed.
func phantomKey(c token.Claims) string {
	return fmt.Sprintf("%s %s %s %d %s", c.ID, c.Region, c.ClientType, c.ClientAssuranceLevel, c.Scope)
}

// isPhantom reports whether a JWT is one that Phantom returned, and keeps. Its
// signature is this server's own then, and checking it would be the dearest
// part of an exchange.
func (s *Service) isPhantom(claims token.Claims, raw string) bool {
	kept, ok := s.jwts.Get(phantomKey(claims))
	return ok && subtle.ConstantTimeCompare([]byte(kept), []byte(raw)) == 1
}

// claims are what the audience of a token learns (RFC 9068 §2.2). Region comes
// from the user; type and assurance from how the client registered. The token
// of a client that acts for itself says nothing about a user.
func (s *Service) claims(t store.LiveToken) token.Claims {
	claims := token.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    s.Site.Issuer(),
			Subject:   t.User.ID,
			Audience:  jwt.ClaimStrings{t.Grant.Resource},
			ExpiresAt: jwt.NewNumericDate(t.ExpiresAt),
			IssuedAt:  jwt.NewNumericDate(t.IssuedAt),
			ID:        t.ID,
		},
		ClientID:             t.Client.ID,
		Scope:                s.resourceScope(t.Scope, t.Grant.Resource),
		AuthTime:             t.Grant.AuthTime.Unix(),
		ACR:                  ACR,
		Region:               t.User.Region,
		ClientType:           t.Client.Type,
		ClientAssuranceLevel: t.Client.Assurance,
		GrantID:              t.GrantID,
	}
	if t.Grant.UserID == "" {
		claims.Subject, claims.Region = ownSubject(t.Client), t.Client.Region
		claims.AuthTime, claims.ACR = 0, ""
	}
	return claims
}

// isInactive reports whether an error means "not active" instead of an outage.
func isInactive(err error) bool { return errors.Is(err, store.ErrNotFound) }
