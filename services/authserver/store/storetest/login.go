package storetest

import (
	"sync"
	"sync/atomic"
	"time"

	"demo.example/services/authserver/store"
)

func (s *suite) users() {
	ctx, user := s.Context(), john()
	_, err := s.User(ctx, user.ID)
	s.wants("User before", err, store.ErrNotFound)
	_, err = s.UserByEmail(ctx, user.Email)
	s.wants("UserByEmail before", err, store.ErrNotFound)
	s.wants("SetUserStatus before", s.SetUserStatus(ctx, user.ID, store.UserApproved), store.ErrNotFound)

	s.must(s.AddUser(ctx, user))
	got, err := s.User(ctx, user.ID)
	equal(s, "User", got, err, user)
	got, err = s.UserByEmail(ctx, user.Email)
	equal(s, "UserByEmail", got, err, user)

	sameAddress, sameID := john(), john()
	sameAddress.ID, sameAddress.Role = "user-2", "admin"
	sameID.Email, sameID.Role = "other@demo.example", "admin"
	s.wants("AddUser with a known address", s.AddUser(ctx, sameAddress), store.ErrExists)
	s.wants("AddUser with a known id", s.AddUser(ctx, sameID), store.ErrExists)
	got, err = s.User(ctx, user.ID)
	equal(s, "User after these", got, err, user)

	s.must(s.SetUserStatus(ctx, user.ID, store.UserSuspended))
	user.Status = store.UserSuspended
	got, err = s.User(ctx, user.ID)
	equal(s, "User after SetUserStatus", got, err, user)
}

func (s *suite) requests() {
	ctx, r := s.Context(), request("r1")
	s.must(s.AddRequest(ctx, r))
	s.wants("AddRequest again", s.AddRequest(ctx, r), store.ErrExists)
	got, err := s.Request(ctx, r.ID, r.Browser, now)
	equal(s, "Request", got, err, r)

	for name, tt := range map[string]struct {
		id      string
		browser store.Hash
		at      time.Time
	}{
		"unknown":         {"r2", r.Browser, now},
		"another browser": {r.ID, store.HashOf("another"), now},
		"no browser":      {r.ID, store.Hash{}, now},
		"expired":         {r.ID, r.Browser, r.ExpiresAt},
	} {
		_, err := s.Request(ctx, tt.id, tt.browser, tt.at)
		s.wants("Request, "+name, err, store.ErrNotFound)
		_, err = s.TakeRequest(ctx, tt.id, tt.browser, tt.at)
		s.wants("TakeRequest, "+name, err, store.ErrNotFound)
	}

	s.must(s.SignIn(ctx, r.ID, "user-1", now))
	s.wants("SignIn for an unknown request", s.SignIn(ctx, "r2", "user-1", now), store.ErrNotFound)
	r.UserID, r.AuthTime = "user-1", now
	got, err = s.Request(ctx, r.ID, r.Browser, r.ExpiresAt.Add(-time.Millisecond))
	equal(s, "Request after SignIn", got, err, r)

	got, err = s.TakeRequest(ctx, r.ID, r.Browser, now)
	equal(s, "TakeRequest", got, err, r)
	_, err = s.TakeRequest(ctx, r.ID, r.Browser, now)
	s.wants("TakeRequest again", err, store.ErrNotFound)
	_, err = s.Request(ctx, r.ID, r.Browser, now)
	s.wants("Request after TakeRequest", err, store.ErrNotFound)
}

func (s *suite) passcodes() {
	ctx, p := s.Context(), passcode("r1")
	if err := s.SetPasscode(ctx, p); err == nil {
		s.Error("SetPasscode for a request that is not there succeeded")
	}
	s.must(s.AddRequest(ctx, request("r1")))
	s.must(s.AddRequest(ctx, request("r2")))
	for name, id := range map[string]string{"of a request without one": "r1", "of an unknown request": "r3"} {
		_, err := s.Passcode(ctx, id)
		s.wants("Passcode "+name, err, store.ErrNotFound)
		_, err = s.TryPasscode(ctx, id, 5, now)
		s.wants("TryPasscode "+name, err, store.ErrNotFound)
		s.wants("TakePasscode "+name, s.TakePasscode(ctx, id, p.MAC), store.ErrNotFound)
	}

	s.must(s.SetPasscode(ctx, p))
	got, err := s.Passcode(ctx, "r1")
	equal(s, "Passcode", got, err, p)
	for p.Attempts = 1; p.Attempts <= 3; p.Attempts++ {
		got, err = s.TryPasscode(ctx, "r1", 3, now)
		equal(s, "TryPasscode", got, err, p)
	}
	_, err = s.TryPasscode(ctx, "r1", 3, now)
	s.wants("TryPasscode after three of three", err, store.ErrNotFound)
	got, err = s.Passcode(ctx, "r1")
	p.Attempts = 3
	equal(s, "Passcode that was tried too often", got, err, p)

	p.MAC, p.Attempts, p.ExpiresAt = store.HashOf("87654321"), 0, now.Add(10*time.Minute)
	s.must(s.SetPasscode(ctx, p))
	got, err = s.Passcode(ctx, "r1")
	equal(s, "Passcode that was sent again", got, err, p)
	_, err = s.TryPasscode(ctx, "r1", 3, p.ExpiresAt)
	s.wants("TryPasscode when it expired", err, store.ErrNotFound)
	got, err = s.Passcode(ctx, "r1")
	equal(s, "Passcode, no attempt counted", got, err, p)

	s.wants("TakePasscode with the code sent before", s.TakePasscode(ctx, "r1", store.HashOf("12345678")), store.ErrNotFound)
	s.wants("TakePasscode in another request", s.TakePasscode(ctx, "r2", p.MAC), store.ErrNotFound)
	s.must(s.TakePasscode(ctx, "r1", p.MAC))
	s.wants("TakePasscode again", s.TakePasscode(ctx, "r1", p.MAC), store.ErrNotFound)

	s.must(s.SetPasscode(ctx, p))
	_, err = s.TakeRequest(ctx, "r1", store.HashOf("browser"), now)
	s.must(err)
	_, err = s.Passcode(ctx, "r1")
	s.wants("Passcode of a request that was taken", err, store.ErrNotFound)
}

func (s *suite) passcodeLog() {
	ctx := s.Context()
	log := func(email, ip string, at time.Time, wantEmail, wantIP, wantAll int, allow bool) {
		s.Helper()
		called := false
		ok, err := s.LogPasscode(ctx, email, ip, at, at.Add(-time.Hour), func(byEmail, byIP, all int) bool {
			called = true
			if got, want := [3]int{byEmail, byIP, all}, [3]int{wantEmail, wantIP, wantAll}; got != want {
				s.Errorf("LogPasscode(%s, %s) counts %v, want %v", email, ip, got, want)
			}
			return allow
		})
		if err != nil || ok != allow || !called {
			s.Errorf("LogPasscode(%s, %s) = %v, %v, want %v", email, ip, ok, err, allow)
		}
	}
	log("a@demo.example", "192.0.2.1", now, 0, 0, 0, true)
	log("a@demo.example", "192.0.2.2", now, 1, 0, 1, true)
	log("b@demo.example", "192.0.2.2", now, 0, 1, 2, false) // refused, so it is not counted
	log("b@demo.example", "192.0.2.2", now.Add(time.Minute), 0, 1, 2, true)
	log("a@demo.example", "192.0.2.2", now.Add(time.Minute), 2, 2, 3, false)
	log("a@demo.example", "192.0.2.2", now.Add(time.Hour), 0, 1, 1, true) // an hour later the first two do not count
}

func (s *suite) sessions() {
	ctx := s.Context()
	sess := store.Session{ID: store.HashOf("cookie"), UserID: "user-1", AuthTime: now, LastSeen: now, ExpiresAt: now.Add(8 * time.Hour)}
	if err := s.AddSession(ctx, sess); err == nil {
		s.Error("AddSession of a user who is not there succeeded")
	}
	s.must(s.AddUser(ctx, john()))
	_, _, err := s.Session(ctx, sess.ID)
	s.wants("Session before", err, store.ErrNotFound)
	s.wants("TouchSession before", s.TouchSession(ctx, sess.ID, now), store.ErrNotFound)

	s.must(s.AddSession(ctx, sess))
	s.wants("AddSession again", s.AddSession(ctx, sess), store.ErrExists)
	s.must(s.TouchSession(ctx, sess.ID, now.Add(time.Minute)))
	sess.LastSeen = now.Add(time.Minute)
	got, user, err := s.Session(ctx, sess.ID)
	equal(s, "Session", got, err, sess)
	equal(s, "Session's user", user, err, john())

	s.must(s.SetUserStatus(ctx, "user-1", store.UserSuspended))
	if _, user, err = s.Session(ctx, sess.ID); err != nil || user.Status != store.UserSuspended {
		s.Errorf("Session's user after SetUserStatus: %v, %v", user, err)
	}
	s.must(s.DeleteSession(ctx, sess.ID))
	s.must(s.DeleteSession(ctx, sess.ID)) // signed out is signed out
	_, _, err = s.Session(ctx, sess.ID)
	s.wants("Session after DeleteSession", err, store.ErrNotFound)
}

// parallelTries: guesses that are sent at once count one by one (attack O1).
func (s *suite) parallelTries() {
	s.must(s.AddRequest(s.Context(), request("r1")))
	s.must(s.SetPasscode(s.Context(), passcode("r1")))
	const limit = 5
	won := s.race("TryPasscode", func() error {
		p, err := s.TryPasscode(s.Context(), "r1", limit, now)
		if err == nil && (p.Attempts < 1 || p.Attempts > limit) {
			s.Errorf("TryPasscode counts attempt %d of %d", p.Attempts, limit)
		}
		return err
	})
	if won != limit {
		s.Errorf("TryPasscode let %d parallel guesses through, want %d", won, limit)
	}
}

// parallelLogging: a burst never gets past a limit (attack O8).
func (s *suite) parallelLogging() {
	const limit = 7
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			ok, err := s.LogPasscode(s.Context(), "a@demo.example", "192.0.2.1", now, now.Add(-time.Hour), func(byEmail, byIP, all int) bool {
				return byEmail < limit && byIP < limit && all < limit
			})
			if err != nil {
				s.Errorf("LogPasscode: %v", err)
			}
			if ok {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if allowed.Load() != limit {
		s.Errorf("LogPasscode let %d of a burst through, want %d", allowed.Load(), limit)
	}
}
