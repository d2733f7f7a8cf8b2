package grants

import (
	"context"
	"errors"
	"fmt"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
)

// codeStore is what redeeming a code needs of the store.
type codeStore interface {
	Code(ctx context.Context, hash store.Hash) (store.Code, store.Grant, error)
	TakeCode(ctx context.Context, hash store.Hash) error
	User(ctx context.Context, id string) (store.User, error)
}

// CodeRequest redeems an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5,
// RFC 8707 §2.2). The last two are compared when the client sends them; OAuth
// 2.1 does without them.
type CodeRequest struct {
	Code, Verifier        string
	RedirectURI, Resource string
	RedirectSent          bool
}

// RedeemCode trades a code for tokens. What another client sends, or the
// right one with another resource or key, leaves the code as it is; after that it is
// taken, and a wrong verifier has cost the only try. A code that comes a
// second time was stolen or replayed: everything it gave ends.
func (s *Service) RedeemCode(ctx context.Context, c store.Client, req CodeRequest) (Tokens, error) {
	unknown := oauth.InvalidGrant("the code is unknown, expired or already used; start a new authorization request")
	hash := store.HashOf(req.Code)
	code, grant, err := s.Store.Code(ctx, hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && code.ClientID != c.ID {
		return Tokens{}, unknown
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("find code: %w", err)
	}
	about(ctx, grant)
	if req.Resource != "" && s.Site.CanonicalResource(req.Resource) != grant.Resource {
		return Tokens{}, oauth.InvalidTarget("the code is for another resource")
	}
	if err := checkProofKey(ctx, code.JKT); err != nil {
		return Tokens{}, err
	}
	err = s.Store.TakeCode(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		audit.On(ctx).Kind = audit.TokenReused
		s.Log.WarnContext(ctx, "authorization code replayed; its grant is revoked", "client_id", c.ID, "grant_id", grant.ID)
		if err := s.Store.RevokeGrant(ctx, grant.ID); err != nil {
			return Tokens{}, fmt.Errorf("revoke grant: %w", err)
		}
		return Tokens{}, unknown
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("take code: %w", err)
	}
	if !s.Now().Before(code.ExpiresAt) {
		return Tokens{}, unknown
	}
	if req.RedirectSent && req.RedirectURI != code.RedirectURI {
		return Tokens{}, oauth.InvalidGrant("redirect_uri is not the one of the authorization request")
	}
	if err := VerifyPKCE(code.Challenge, req.Verifier); err != nil {
		return Tokens{}, oauth.InvalidGrant(err.Error())
	}
	return s.redeem(ctx, c, grant)
}

// redeem gives a client the first tokens of a grant.
func (s *Service) redeem(ctx context.Context, c store.Client, grant store.Grant) (Tokens, error) {
	user, err := s.Store.User(ctx, grant.UserID)
	if err != nil {
		return Tokens{}, fmt.Errorf("find user: %w", err)
	}
	if user.Status != store.UserApproved {
		return Tokens{}, oauth.InvalidGrant("the user may not sign in any more")
	}
	tokens, err := s.issue(ctx, c, grant, grant.Scope, grant.Scope)
	if err != nil {
		return Tokens{}, err
	}
	if oauth.HasScope(grant.Scope, oauth.ScopeOpenID) {
		tokens.IDToken, err = s.idToken(c, grant, user, tokens.AccessToken)
	}
	return tokens, err
}
