package login

import (
	"errors"
	"testing"

	"demo.example/services/authserver/store"
)

// TestSuspendUser: attack R6. A suspended user is out at once, and back at once
// when an administrator approves them again.
func TestSuspendUser(t *testing.T) {
	f := newFixture(t)
	ctx, id := t.Context(), f.user(john).ID
	cookie, err := f.newSession(ctx, f.user(john), f.now)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		change   func() error
		signedIn bool
		status   string
	}{
		{func() error { return nil }, true, store.UserApproved},
		{func() error { return f.SuspendUser(ctx, id) }, false, store.UserSuspended},
		{func() error { return f.SuspendUser(ctx, id) }, false, store.UserSuspended},
		{func() error { return f.ApproveUser(ctx, id) }, true, store.UserApproved},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		_, user, ok, err := f.Session(ctx, cookie)
		if err != nil || ok != step.signedIn || f.user(john).Status != step.status {
			t.Errorf("%s: signed in %t (%v), status %s", step.status, ok, err, user.Status)
		}
	}
	if err := f.SuspendUser(ctx, "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v for a user who is not there", err)
	}
}
