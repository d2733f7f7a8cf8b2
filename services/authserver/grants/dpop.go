package grants

import (
	"context"
	"regexp"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/dpop"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// thumbprintForm is the unpadded base64url of a SHA-256 (RFC 9449 §10).
var thumbprintForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

type proofKey struct{}

// WithProofKey returns the context of a token request by a client that proved
// the key with a thumbprint. All tokens issued for it are bound to that key,
// whatever the grant: it travels in the context so that no grant can forget it.
func WithProofKey(ctx context.Context, thumbprint string) context.Context {
	return context.WithValue(ctx, proofKey{}, thumbprint)
}

// proofKeyOf returns the thumbprint of the key that the client proved, or ""
// when it proved none.
func proofKeyOf(ctx context.Context) string {
	thumbprint, _ := ctx.Value(proofKey{}).(string)
	return thumbprint
}

// refreshKeyOf returns the key to bind a refresh token to. That of a client
// with credentials is bound to those already, and its key may change (RFC
// 9449 §5).
func refreshKeyOf(ctx context.Context, c store.Client) string {
	if c.AuthMethod == clients.AuthNone {
		return proofKeyOf(ctx)
	}
	return ""
}

// checkProofKey reports why a client may not use a code or a refresh token
// that is bound to a key, if it is to any (RFC 9449 §5 and §10).
func checkProofKey(ctx context.Context, bound string) error {
	switch proven := proofKeyOf(ctx); {
	case bound == "" || proven == bound:
		return nil
	case proven == "":
		return dpop.Invalid("this grant is bound to a key; send a DPoP proof signed with it")
	default:
		return oauth.InvalidGrant("this grant is bound to another key than the one that signed the DPoP proof")
	}
}

// tokenType says how a token is presented (RFC 6750 §4, RFC 9449 §5).
func tokenType(boundTo string) string {
	if boundTo == "" {
		return "Bearer"
	}
	return dpop.Scheme
}

// TokenType is the token_type of an introspected token.
func TokenType(c token.Claims) string {
	if c.Confirmation == nil {
		return tokenType("")
	}
	return tokenType(c.Confirmation.JKT)
}

// confirmation is the cnf of a token bound to a key, nil for a bearer token.
// Only what the gateway introspects carries it: the gateway sees the client's
// proof. An exchanged token does not, since its holder has another key.
func confirmation(boundTo string) *token.Confirmation {
	if boundTo == "" {
		return nil
	}
	return &token.Confirmation{JKT: boundTo}
}
