package login

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"demo.example/services/authserver/store"
)

// A session ends when it was not used for an hour, and after eight in any
// case.
const (
	sessionIdle     = time.Hour
	sessionLifetime = 8 * time.Hour
	touchEvery      = time.Minute // one write a minute is exact enough for the idle limit
)

// newSession signs a browser in. Its cookie is new: one that somebody planted
// before is worth nothing. ErrNotApproved says that the user is not, or not any
// more.
func (s *Service) newSession(ctx context.Context, u store.User, now time.Time) (cookie string, err error) {
	cookie = rand.Text()
	err = s.Store.AddSession(ctx, store.Session{
		ID: store.HashOf(cookie), UserID: u.ID, AuthTime: now, LastSeen: now, ExpiresAt: now.Add(sessionLifetime),
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrNotApproved
	}
	if err != nil {
		return "", fmt.Errorf("store session: %w", err)
	}
	return cookie, nil
}

// Session returns who a session cookie belongs to. ok is false when nobody is
// signed in (any more).
func (s *Service) Session(ctx context.Context, cookie string) (sess store.Session, u store.User, ok bool, err error) {
	if cookie == "" {
		return sess, u, false, nil
	}
	sess, u, err = s.Store.Session(ctx, store.HashOf(cookie))
	if errors.Is(err, store.ErrNotFound) {
		return sess, u, false, nil
	}
	if err != nil {
		return sess, u, false, fmt.Errorf("find session: %w", err)
	}
	now := s.Now()
	if !now.Before(sess.ExpiresAt) || now.Sub(sess.LastSeen) >= sessionIdle || u.Status != store.UserApproved {
		return sess, u, false, nil
	}
	if now.Sub(sess.LastSeen) >= touchEvery {
		err := s.Store.TouchSession(ctx, sess.ID, now)
		if errors.Is(err, store.ErrNotFound) {
			return sess, u, false, nil // signed out in the meantime
		}
		if err != nil {
			return sess, u, false, fmt.Errorf("touch session: %w", err)
		}
	}
	return sess, u, true, nil
}

// SignOut ends a session, and all that its user has of the administration: who
// signs out here, where they signed in for it, means that too.
func (s *Service) SignOut(ctx context.Context, cookie string) error {
	if cookie == "" {
		return nil
	}
	if err := s.Store.EndSession(ctx, store.HashOf(cookie)); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// Replace ends the session of a browser in which somebody signed in anew.
func (s *Service) Replace(ctx context.Context, cookie string) error {
	if cookie == "" {
		return nil
	}
	if err := s.Store.DeleteSession(ctx, store.HashOf(cookie)); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// Continue signs the user of a session in for a request.
func (s *Service) Continue(ctx context.Context, requestID string, sess store.Session) error {
	if err := s.Store.SignIn(ctx, requestID, sess.UserID, sess.AuthTime); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	return nil
}
