package grants

import (
	"context"
	"fmt"
	"time"

	"demo.example/services/authserver/store"
)

// overviewStore is what the administration needs of the store.
type overviewStore interface {
	LiveGrants(ctx context.Context, userID, clientID, before string, now time.Time, limit int) ([]store.GrantOverview, error)
	GrantOverview(ctx context.Context, id string, now time.Time) (store.GrantOverview, error)
	TokensOf(ctx context.Context, grantID string, now time.Time, limit int) ([]store.Token, error)
}

// maxTokens is how many tokens of a grant are listed.
const maxTokens = 200

// Live returns grants that are good for something, of one user and one client
// where these are not empty: the newest first, those before an id.
func (s *Service) Live(ctx context.Context, userID, clientID, before string, limit int) ([]store.GrantOverview, error) {
	found, err := s.Store.LiveGrants(ctx, userID, clientID, before, s.Now(), limit)
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	for i := range found {
		found[i].UsedAt = latest(found[i].UsedAt, s.uses.at(found[i].ID))
	}
	return found, nil
}

// Grant returns one grant and its tokens that have not expired, used and
// revoked ones too. ErrNotFound says that there is no such grant.
func (s *Service) Grant(ctx context.Context, id string) (store.GrantOverview, []store.Token, error) {
	g, err := s.Store.GrantOverview(ctx, id, s.Now())
	if err != nil {
		return g, nil, fmt.Errorf("find grant: %w", err)
	}
	g.UsedAt = latest(g.UsedAt, s.uses.at(g.ID))
	tokens, err := s.Store.TokensOf(ctx, id, s.Now(), maxTokens)
	if err != nil {
		return g, nil, fmt.Errorf("list tokens: %w", err)
	}
	return g, tokens, nil
}

// EndGrant revokes a grant, and with it every token of it. The client has to ask
// its user again.
func (s *Service) EndGrant(ctx context.Context, g store.Grant) error {
	if _, err := s.leaveAdministration(ctx, g.UserID, g.ClientID); err != nil {
		return err
	}
	if err := s.Store.ForgetConsent(ctx, g.UserID, g.ClientID); err != nil {
		return fmt.Errorf("forget consent: %w", err)
	}
	if err := s.Store.RevokeGrant(ctx, g.ID); err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return nil
}

// EndToken revokes one token of a grant, by its id. ErrNotFound says that the
// grant has no such token.
func (s *Service) EndToken(ctx context.Context, grantID, id string) error {
	t, err := s.Store.TokenByID(ctx, id)
	if err == nil && t.GrantID != grantID {
		err = store.ErrNotFound
	}
	if err == nil {
		err = s.Store.RevokeToken(ctx, t.Hash)
	}
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// RetireKey takes a signing key away, and forgets the JWTs that were signed
// with it: those behind tokens that live are signed anew when they are asked
// for. Errors are those of keys.Ring.Retire.
func (s *Service) RetireKey(ctx context.Context, id string) error {
	if err := s.Keys.Retire(ctx, id); err != nil {
		return err
	}
	s.jwts.Purge()
	return nil
}
