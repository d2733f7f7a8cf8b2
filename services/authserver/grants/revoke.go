package grants

import (
	"context"
	"errors"
	"fmt"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// consentStore is what taking access back needs of the store.
type consentStore interface {
	RevokeConsent(ctx context.Context, userID, clientID string) (had bool, err error)
	ForgetConsent(ctx context.Context, userID, clientID string) error
	EndAdminSessions(ctx context.Context, userID string) (had bool, err error)
}

// Revoke ends a token of the client (RFC 7009 §2). A refresh token takes its
// whole grant along. A token that is unknown, or another client's, is nobody's
// business: the answer is the same.
func (s *Service) Revoke(ctx context.Context, c store.Client, secret string) error {
	hash := store.HashOf(secret)
	t, err := s.Store.Token(ctx, hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && (t.Grant.ClientID != c.ID || t.Revoked || t.Grant.Revoked) {
		audit.On(ctx).Kind = "" // nothing ends: anybody may send what they made up, or the same again, as often as they like
		return nil
	}
	if err == nil {
		about(ctx, t.Grant).Token = t.ID
	}
	if err == nil && t.Kind == store.RefreshToken {
		err = s.Store.RevokeGrant(ctx, t.GrantID)
	} else if err == nil {
		err = s.Store.RevokeToken(ctx, hash)
	}
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// RevokeConsent takes back what a user allowed a client: every token ends, and
// the client has to ask again.
func (s *Service) RevokeConsent(ctx context.Context, userID, clientID string) error {
	e := audit.On(ctx)
	e.User, e.Client = userID, clientID
	administered, err := s.leaveAdministration(ctx, userID, clientID)
	if err != nil {
		return err
	}
	had, err := s.Store.RevokeConsent(ctx, userID, clientID)
	if err != nil {
		return fmt.Errorf("revoke consent: %w", err)
	}
	if !had && !administered {
		e.Kind = "" // nothing ends, see Revoke
	}
	return nil
}

// leaveAdministration ends what the administration gave a user for its access:
// it asks for a token once, and knows the browser from then on.
func (s *Service) leaveAdministration(ctx context.Context, userID, clientID string) (had bool, err error) {
	if clientID != clients.Administration {
		return false, nil
	}
	if had, err = s.Store.EndAdminSessions(ctx, userID); err != nil {
		return had, fmt.Errorf("end sessions of the administration: %w", err)
	}
	return had, nil
}
