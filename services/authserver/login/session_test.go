package login

import (
	"context"
	"errors"
	"testing"
	"time"

	"demo.example/services/authserver/store"
)

func (f *fixture) signedIn(cookie string) bool {
	f.t.Helper()
	_, _, ok, err := f.Session(f.t.Context(), cookie)
	if err != nil {
		f.t.Fatal(err)
	}
	return ok
}

func (f *fixture) session() string {
	f.t.Helper()
	cookie, err := f.check("r1", f.send("r1", john))
	if err != nil {
		f.t.Fatal(err)
	}
	return cookie
}

func TestSessionEnds(t *testing.T) {
	t.Run("after an hour of not being used", func(t *testing.T) {
		f := newFixture(t)
		cookie := f.session()
		f.now = f.now.Add(time.Hour - time.Millisecond)
		if !f.signedIn(cookie) {
			t.Error("ended early")
		}
		f.now = f.now.Add(time.Hour)
		if f.signedIn(cookie) {
			t.Error("still signed in")
		}
	})
	t.Run("after eight hours of being used", func(t *testing.T) {
		f := newFixture(t)
		cookie := f.session()
		end := f.now.Add(8 * time.Hour)
		for f.now.Add(30 * time.Minute).Before(end) {
			f.now = f.now.Add(30 * time.Minute)
			if !f.signedIn(cookie) {
				t.Fatalf("ended at %v", f.now)
			}
		}
		f.now = end.Add(-time.Millisecond)
		if !f.signedIn(cookie) {
			t.Error("ended early")
		}
		f.now = end
		if f.signedIn(cookie) {
			t.Error("still signed in")
		}
	})
	t.Run("when the user is suspended", func(t *testing.T) {
		f := newFixture(t)
		cookie := f.session()
		f.suspend(john)
		if f.signedIn(cookie) {
			t.Error("still signed in")
		}
	})
	t.Run("with sign-out, for this browser alone", func(t *testing.T) {
		f := newFixture(t)
		here, there := f.session(), f.session()
		if here == there {
			t.Fatal("two sessions have one cookie")
		}
		for range 2 { // a second time is fine
			if err := f.SignOut(t.Context(), here); err != nil {
				t.Fatal(err)
			}
		}
		if f.signedIn(here) || !f.signedIn(there) {
			t.Error("the wrong session ended")
		}
	})
}

func TestUnknownCookies(t *testing.T) {
	f := newFixture(t)
	cookie := f.session()
	hash := store.HashOf(cookie)
	for _, c := range []string{"", "planted by an attacker", cookie + "x", cookie[1:], string(hash[:])} {
		if f.signedIn(c) {
			t.Errorf("%q signs in", c)
		}
	}
	if err := f.SignOut(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

// TestContinue: who is signed in keeps the time at which they proved it.
func TestContinue(t *testing.T) {
	f := newFixture(t)
	cookie, began := f.session(), f.now
	f.now = f.now.Add(30 * time.Minute)
	sess, u, ok, err := f.Session(t.Context(), cookie)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := f.Continue(t.Context(), "r2", sess); err != nil {
		t.Fatal(err)
	}
	r, err := f.db.Request(t.Context(), "r2", store.Hash{}, f.now)
	if err != nil || r.UserID != u.ID || !r.AuthTime.Equal(began) {
		t.Errorf("signed in as %q at %v, %v; want %q at %v", r.UserID, r.AuthTime, err, u.ID, began)
	}
}

// troubled is a store in which touching a session fails.
type troubled struct {
	loginStore
	err error
}

func (s troubled) TouchSession(context.Context, store.Hash, time.Time) error { return s.err }

func TestTouchFails(t *testing.T) {
	f := newFixture(t)
	cookie := f.session()
	f.now = f.now.Add(time.Minute)
	f.Store = troubled{f.db, store.ErrNotFound} // signed out between two looks
	if f.signedIn(cookie) {
		t.Error("signed in after signing out")
	}
	f.Store = troubled{f.db, errors.New("the disk is full")}
	if _, _, ok, err := f.Session(t.Context(), cookie); ok || err == nil {
		t.Errorf("an outage looks like %v, %v", ok, err)
	}
}
