package login

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"demo.example/services/authserver/store"
)

// Regions are those that a user can be in.
var Regions = []string{"USA", "Europe", "Asia"}

// A session of the administration ends sooner than others: who sits down at a
// browser that was left alone should find it over.
const (
	AdminIdle     = 15 * time.Minute
	AdminLifetime = 8 * time.Hour
)

// Errors that a change of a user can end in.
var (
	ErrSelf   = errors.New("an administrator cannot do this to themselves")
	ErrRegion = errors.New("there is no such region")
)

// IsAdmin reports whether a user may administer this server, as the store has
// them now.
func IsAdmin(u store.User) bool { return u.Role == store.RoleAdmin && u.Status == store.UserApproved }

// SignInAdmin begins a session of the administration for a user who signed in
// at a time, and returns its cookie. ErrNotFound says that they are none who may
// administer this server. Whether they still may is asked at every request.
func (s *Service) SignInAdmin(ctx context.Context, userID string, authTime time.Time) (cookie string, err error) {
	cookie, now := rand.Text(), s.Now()
	err = s.Store.AddAdminSession(ctx, store.Session{
		ID: store.HashOf(cookie), UserID: userID, AuthTime: authTime, LastSeen: now, ExpiresAt: now.Add(AdminLifetime),
	})
	if err != nil {
		return "", fmt.Errorf("store session: %w", err)
	}
	return cookie, nil
}

// AdminSession returns whose session of the administration a cookie belongs to.
// ok is false when nobody is signed in (any more). The caller asks IsAdmin.
func (s *Service) AdminSession(ctx context.Context, cookie string) (u store.User, ok bool, err error) {
	if cookie == "" {
		return u, false, nil
	}
	sess, u, err := s.Store.AdminSession(ctx, store.HashOf(cookie))
	if errors.Is(err, store.ErrNotFound) {
		return u, false, nil
	}
	if err != nil {
		return u, false, fmt.Errorf("find session: %w", err)
	}
	now := s.Now()
	if !now.Before(sess.ExpiresAt) || now.Sub(sess.LastSeen) >= AdminIdle {
		return u, false, nil
	}
	if now.Sub(sess.LastSeen) >= touchEvery {
		err := s.Store.TouchAdminSession(ctx, sess.ID, now)
		if errors.Is(err, store.ErrNotFound) {
			return u, false, nil // signed out in the meantime
		}
		if err != nil {
			return u, false, fmt.Errorf("touch session: %w", err)
		}
	}
	return u, true, nil
}

// SignOutAdmin ends a session of the administration.
func (s *Service) SignOutAdmin(ctx context.Context, cookie string) error {
	if err := s.Store.DeleteAdminSession(ctx, store.HashOf(cookie)); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// Users returns users in the order of their addresses, those after an address.
func (s *Service) Users(ctx context.Context, after string, limit int) ([]store.UserOverview, error) {
	now := s.Now()
	users, err := s.Store.Users(ctx, after, now, limit)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	for i := range users {
		if now.Sub(users[i].AdminSeen) >= AdminIdle {
			users[i].AdminSeen = time.Time{} // over
		}
	}
	return users, nil
}

// User returns one user. ErrNotFound says that there is none.
func (s *Service) User(ctx context.Context, id string) (store.User, error) {
	u, err := s.Store.User(ctx, id)
	if err != nil {
		return u, fmt.Errorf("find user: %w", err)
	}
	return u, nil
}

// Addresses returns the addresses of users by their ids. Nobody by an id has
// none.
func (s *Service) Addresses(ctx context.Context, ids []string) (map[string]string, error) {
	users, err := s.Store.UsersByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("find users: %w", err)
	}
	out := map[string]string{}
	for _, u := range users {
		out[u.ID] = u.Email
	}
	return out, nil
}

// UserByEmail returns the user with an address, however it is written.
// ErrNotFound says that there is none.
func (s *Service) UserByEmail(ctx context.Context, email string) (store.User, error) {
	u, err := s.Store.UserByEmail(ctx, Canonical(email))
	if err != nil {
		return u, fmt.Errorf("find user: %w", err)
	}
	return u, nil
}

// Approve lets a user sign in.
func (s *Service) Approve(ctx context.Context, id string) error {
	if err := s.Store.SetUserStatus(ctx, id, store.UserApproved); err != nil {
		return fmt.Errorf("approve user: %w", err)
	}
	return nil
}

// Suspend keeps a user from signing in, and ends all sessions and grants that
// they have. Nobody can suspend themselves (ErrSelf).
func (s *Service) Suspend(ctx context.Context, by, id string) error {
	if by == id {
		return ErrSelf
	}
	if err := s.Store.SuspendUser(ctx, id); err != nil {
		return fmt.Errorf("suspend user: %w", err)
	}
	return nil
}

// SetRegion moves a user to one of Regions, else ErrRegion.
func (s *Service) SetRegion(ctx context.Context, id, region string) error {
	if !slices.Contains(Regions, region) {
		return ErrRegion
	}
	if err := s.Store.SetUserRegion(ctx, id, region); err != nil {
		return fmt.Errorf("set region: %w", err)
	}
	return nil
}

// PasscodeState is how many passcodes the last hour saw, and how many it may.
type PasscodeState struct {
	Limits
	All, Addresses, IPs int
}

// PasscodeState counts the passcodes of the last hour.
func (s *Service) PasscodeState(ctx context.Context) (p PasscodeState, err error) {
	p.Limits = s.Limits
	p.All, p.Addresses, p.IPs, err = s.Store.PasscodesSince(ctx, s.Now().Add(-time.Hour))
	if err != nil {
		return p, fmt.Errorf("count passcodes: %w", err)
	}
	return p, nil
}
