package login

import (
	"context"
	"fmt"

	"demo.example/services/authserver/store"
)

// ApproveUser lets a user sign in. ErrNotFound says that there is no such user.
func (s *Service) ApproveUser(ctx context.Context, id string) error {
	return s.setStatus(ctx, id, store.UserApproved)
}

// SuspendUser locks a user out: no new sign-in, and the sessions and tokens
// that there are stop working, at the gateways too. They are kept, so that
// approving the user again undoes a suspension. ErrNotFound says that there is
// no such user.
func (s *Service) SuspendUser(ctx context.Context, id string) error {
	return s.setStatus(ctx, id, store.UserSuspended)
}

func (s *Service) setStatus(ctx context.Context, id, status string) error {
	if err := s.Store.SetUserStatus(ctx, id, status); err != nil {
		return fmt.Errorf("set status of user to %s: %w", status, err)
	}
	return nil
}
