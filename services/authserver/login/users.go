package login

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"demo.example/services/authserver/store"
)

// defaultUsers are the demo's people.
//
//go:embed users.json
var defaultUsers []byte

// AddUsers adds the users of file, or the demo's own when file is empty, that
// are not known yet. Of those that are, status and region stay as administrators
// changed them. The role follows the file, since no page changes it: whoever the
// file does not make an administrator is none any more.
func AddUsers(ctx context.Context, s loginStore, file string) error {
	raw := defaultUsers
	if file != "" {
		var err error
		if raw, err = os.ReadFile(file); err != nil {
			return fmt.Errorf("USERS_FILE: %w", err)
		}
	}
	var users []struct {
		Email  string `json:"email"`
		Region string `json:"region"`
		Role   string `json:"role"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(raw, &users); err != nil {
		return fmt.Errorf("USERS_FILE: %w", err)
	}
	admins := []string{}
	for _, u := range users {
		if !isAddress(u.Email) || Canonical(u.Email) != u.Email {
			return fmt.Errorf("USERS_FILE: %q is not a lower-case address", u.Email)
		}
		if !slices.Contains([]string{store.RoleUser, store.RoleAdmin}, u.Role) {
			return fmt.Errorf("USERS_FILE: %s: role must be user or admin", u.Email)
		}
		if !slices.Contains([]string{store.UserApproved, store.UserPending, store.UserSuspended}, u.Status) {
			return fmt.Errorf("USERS_FILE: %s: status must be approved, pending or suspended", u.Email)
		}
		err := s.AddUser(ctx, store.User{ID: "user-" + rand.Text(), Email: u.Email, Region: u.Region, Role: u.Role, Status: u.Status})
		if err != nil && !errors.Is(err, store.ErrExists) {
			return fmt.Errorf("add user: %w", err)
		}
		if u.Role == store.RoleAdmin {
			admins = append(admins, u.Email)
		}
	}
	if err := s.SetAdmins(ctx, admins); err != nil {
		return fmt.Errorf("set administrators: %w", err)
	}
	return nil
}
