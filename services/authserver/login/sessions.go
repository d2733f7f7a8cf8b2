package login

import (
	"context"
	"fmt"
	"slices"

	"demo.example/services/authserver/store"
)

// NameSession notes where a session began, in our words and not in those of
// the request.
func (s *Service) NameSession(ctx context.Context, cookie, ip, userAgent string) error {
	if err := s.Store.NameSession(ctx, store.HashOf(cookie), browserFamily(userAgent), plainAddress(ip)); err != nil {
		return fmt.Errorf("name session: %w", err)
	}
	return nil
}

// Sessions returns where a user is signed in, the newest first.
func (s *Service) Sessions(ctx context.Context, userID string, limit int) ([]store.NamedSession, error) {
	now := s.Now()
	sessions, err := s.Store.Sessions(ctx, userID, now, limit)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return slices.DeleteFunc(sessions, func(sess store.NamedSession) bool { return now.Sub(sess.LastSeen) >= sessionIdle }), nil
}

// AdminSessions returns the sessions that a user has of the administration, the
// newest first.
func (s *Service) AdminSessions(ctx context.Context, userID string, limit int) ([]store.Session, error) {
	now := s.Now()
	sessions, err := s.Store.AdminSessions(ctx, userID, now, limit)
	if err != nil {
		return nil, fmt.Errorf("list sessions of the administration: %w", err)
	}
	return slices.DeleteFunc(sessions, func(sess store.Session) bool { return now.Sub(sess.LastSeen) >= AdminIdle }), nil
}

// SignOutOthers ends all sessions of a user but one, those of the
// administration too.
func (s *Service) SignOutOthers(ctx context.Context, keep store.Session) error {
	if err := s.Store.DeleteOtherSessions(ctx, keep.UserID, keep.ID); err != nil {
		return fmt.Errorf("delete sessions: %w", err)
	}
	return nil
}
