package grants

import (
	"context"
	"errors"
	"fmt"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// Refresh trades a refresh token for new tokens (RFC 6749 §6) and replaces it.
// A token that was replaced before and comes again is in two hands, one of
// them a thief's: the whole grant ends (RFC 9700 §4.14.2).
func (s *Service) Refresh(ctx context.Context, c store.Client, secret, scope, resource string) (Tokens, error) {
	unknown := oauth.InvalidGrant("the refresh token is unknown, expired, revoked or already used; start a new authorization request")
	hash := store.HashOf(secret)
	t, err := s.Store.Token(ctx, hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && (t.Kind != store.RefreshToken || t.Grant.ClientID != c.ID) {
		return Tokens{}, unknown
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("find refresh token: %w", err)
	}
	if err := checkProofKey(ctx, t.JKT); err != nil {
		return Tokens{}, err // without the key nobody does anything with it, not even end the grant
	}
	if t.Used {
		return Tokens{}, s.reused(ctx, t.Grant, unknown)
	}
	t, err = s.live(ctx, t, nil)
	if errors.Is(err, store.ErrNotFound) {
		return Tokens{}, unknown
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("find refresh token: %w", err)
	}
	// Whatever the client can mend is said before the token is used up.
	if resource != "" && s.Site.CanonicalResource(resource) != t.Grant.Resource {
		return Tokens{}, oauth.InvalidTarget("the refresh token is for another resource")
	}
	narrowed, err := narrow(scope, t.Scope)
	if err != nil {
		return Tokens{}, err
	}
	err = s.Store.TakeRefreshToken(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		return Tokens{}, s.reused(ctx, t.Grant, unknown)
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("take refresh token: %w", err)
	}
	return s.issue(ctx, c, t.Grant, narrowed, t.Scope)
}

func (s *Service) reused(ctx context.Context, g store.Grant, answer error) error {
	s.Log.WarnContext(ctx, "refresh token reused; its grant is revoked", "client_id", g.ClientID, "grant_id", g.ID)
	if err := s.Store.RevokeGrant(ctx, g.ID); err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return answer
}
