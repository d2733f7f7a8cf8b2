package storetest

import (
	"context"
	"errors"
	"time"

	"demo.example/services/authserver/store"
)

// expiry: what can never be used again goes, at the moment it expires and not
// before. Used codes and rotated tokens stay as long as their grant, since
// presenting one again has to end it.
func (s *suite) expiry() {
	ctx, browser, cookie := s.Context(), store.HashOf("browser"), store.HashOf("cookie")
	s.withGrant("g1")
	access, refresh := tokenOf("g1", store.AccessToken, "a"), tokenOf("g1", store.RefreshToken, "r")
	s.must(s.AddTokens(ctx, access, refresh))
	s.must(s.TakeCode(ctx, codeOf("g1").Hash))
	s.must(s.rotate(ctx, refresh.Hash, now, 0))
	s.must(s.AddRequest(ctx, request("r1")))
	s.must(s.SetPasscode(ctx, passcode("r1")))
	s.must(s.AddSession(ctx, store.Session{ID: cookie, UserID: "user-1", AuthTime: now, LastSeen: now, ExpiresAt: now.Add(8 * time.Hour)}))
	s.must(s.AddConsent(ctx, store.Consent{UserID: "user-1", ClientID: "dcr-1", GivenAt: now}))
	s.must(s.AddKey(ctx, store.Key{ID: "k", Private: []byte("sealed"), CreatedAt: now}))
	logged := func(allow bool) (all int) {
		_, err := s.LogPasscode(ctx, "a@demo.example", "192.0.2.1", now, time.Time{}, func(_, _, n int) bool { all = n; return allow })
		s.must(err)
		return all
	}
	logged(true)

	there := map[string]func() error{
		"request":       func() error { _, err := s.Request(ctx, "r1", browser, now); return err },
		"passcode":      func() error { _, err := s.Passcode(ctx, "r1"); return err },
		"session":       func() error { _, _, err := s.Session(ctx, cookie); return err },
		"access token":  func() error { _, err := s.Token(ctx, access.Hash); return err },
		"used code":     func() error { _, _, err := s.Code(ctx, codeOf("g1").Hash); return err },
		"rotated token": func() error { _, err := s.Token(ctx, refresh.Hash); return err },
		"user":          func() error { _, err := s.User(ctx, "user-1"); return err },
		"client":        func() error { _, err := s.Client(ctx, "dcr-1"); return err },
		"consent": func() error {
			if ok, err := s.HasConsent(ctx, store.Consent{UserID: "user-1", ClientID: "dcr-1"}); !ok {
				return errors.Join(err, store.ErrNotFound)
			}
			return nil
		},
		"key": func() error {
			if k, err := s.Keys(ctx); len(k) != 1 {
				return errors.Join(err, store.ErrNotFound)
			}
			return nil
		},
	}
	const month = 30 * 24 * time.Hour
	for _, step := range []struct {
		after time.Duration
		gone  []string // beside what went before
		log   int
	}{
		{0, nil, 1},
		{15*time.Minute - time.Millisecond, nil, 1},
		{15 * time.Minute, []string{"request", "passcode", "access token"}, 1},
		{time.Hour, nil, 0},
		{8 * time.Hour, []string{"session"}, 0},
		{month - time.Millisecond, nil, 0},
		{month, []string{"used code", "rotated token"}, 0},
	} {
		s.must(s.Expire(ctx, now.Add(step.after)))
		for _, name := range step.gone {
			s.wants(name+" after "+step.after.String(), there[name](), store.ErrNotFound)
			delete(there, name)
		}
		for name, check := range there {
			if err := check(); err != nil {
				s.Errorf("%s after %v: %v", name, step.after, err)
			}
		}
		if got := logged(false); got != step.log {
			s.Errorf("passcode log after %v has %d entries, want %d", step.after, got, step.log)
		}
	}
}

// outage: a store that cannot answer says neither "not found" nor "exists":
// an outage must not look like an expired login.
func (s *suite) outage() {
	s.must(s.Ping(s.Context()))
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	var h store.Hash
	for name, call := range map[string]func() error{
		"AddUser":       func() error { return s.AddUser(ctx, john()) },
		"User":          func() error { _, err := s.User(ctx, ""); return err },
		"UserByEmail":   func() error { _, err := s.UserByEmail(ctx, ""); return err },
		"SetUserStatus": func() error { return s.SetUserStatus(ctx, "", "") },
		"SaveClient":    func() error { return s.SaveClient(ctx, agent()) },
		"Client":        func() error { _, err := s.Client(ctx, ""); return err },
		"AddRequest":    func() error { return s.AddRequest(ctx, request("r1")) },
		"Request":       func() error { _, err := s.Request(ctx, "", h, now); return err },
		"TakeRequest":   func() error { _, err := s.TakeRequest(ctx, "", h, now); return err },
		"SignIn":        func() error { return s.SignIn(ctx, "", "", now) },
		"SetPasscode":   func() error { return s.SetPasscode(ctx, passcode("r1")) },
		"Passcode":      func() error { _, err := s.Passcode(ctx, ""); return err },
		"TryPasscode":   func() error { _, err := s.TryPasscode(ctx, "", 5, now); return err },
		"TakePasscode":  func() error { return s.TakePasscode(ctx, "", h) },
		"AddSession":    func() error { return s.AddSession(ctx, store.Session{}) },
		"Session":       func() error { _, _, err := s.Session(ctx, h); return err },
		"TouchSession":  func() error { return s.TouchSession(ctx, h, now) },
		"DeleteSession": func() error { return s.DeleteSession(ctx, h) },
		"AddConsent":    func() error { return s.AddConsent(ctx, store.Consent{}) },
		"HasConsent":    func() error { _, err := s.HasConsent(ctx, store.Consent{}); return err },
		"AddGrant":      func() error { return s.AddGrant(ctx, grant("g1"), codeOf("g1")) },
		"Code":          func() error { _, _, err := s.Code(ctx, h); return err },
		"TakeCode":      func() error { return s.TakeCode(ctx, h) },
		"AddTokens":     func() error { return s.AddTokens(ctx, tokenOf("g1", store.AccessToken, "a")) },
		"Token":         func() error { _, err := s.Token(ctx, h); return err },
		"TokenByID":     func() error { _, err := s.TokenByID(ctx, ""); return err },
		"Rotate":        func() error { return s.rotate(ctx, h, now, 0) },
		"RevokeConsent": func() error { _, err := s.RevokeConsent(ctx, "", ""); return err },
		"ForgetConsent": func() error { return s.ForgetConsent(ctx, "", "") },
		"DeleteKey":     func() error { return s.DeleteKey(ctx, "") },
		"RevokeToken":   func() error { return s.RevokeToken(ctx, h) },
		"RevokeGrant":   func() error { return s.RevokeGrant(ctx, "") },
		"AddKey":        func() error { return s.AddKey(ctx, store.Key{ID: "k", Private: []byte("sealed")}) },
		"Keys":          func() error { _, err := s.Keys(ctx); return err },
		"Expire":        func() error { return s.Expire(ctx, now) },
		"Ping":          func() error { return s.Ping(ctx) },

		"AskApproval":         func() error { _, _, err := s.AskApproval(ctx, approval("a1"), 5, now); return err },
		"Approval":            func() error { _, err := s.Approval(ctx, ""); return err },
		"DecideApproval":      func() error { return s.DecideApproval(ctx, "", "", "", now, now) },
		"TakeApproval":        func() error { return s.TakeApproval(ctx, "", "", "", now) },
		"NameSession":         func() error { return s.NameSession(ctx, h, "", "") },
		"Sessions":            func() error { _, err := s.Sessions(ctx, "", now, 1); return err },
		"SetAdmins":           func() error { return s.SetAdmins(ctx, nil) },
		"EndSession":          func() error { return s.EndSession(ctx, h) },
		"AddAdminSession":     func() error { return s.AddAdminSession(ctx, store.Session{}) },
		"AdminSessions":       func() error { _, err := s.AdminSessions(ctx, "", now, 1); return err },
		"DeleteOtherSessions": func() error { return s.DeleteOtherSessions(ctx, "", h) },
		"EndAdminSessions":    func() error { _, err := s.EndAdminSessions(ctx, ""); return err },
		"NoteUses":            func() error { return s.NoteUses(ctx, map[string]time.Time{"g1": now}) },
		"Access":              func() error { _, err := s.Access(ctx, "", now, 1); return err },
		"Consents":            func() error { _, err := s.Consents(ctx, "", 1); return err },
		"Approvals":           func() error { _, err := s.Approvals(ctx, "", 1); return err },
		"LogPasscode": func() error {
			_, err := s.LogPasscode(ctx, "", "", now, now, func(int, int, int) bool { return true })
			return err
		},
	} {
		if err := call(); err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) {
			s.Errorf("%s during an outage: got error %v", name, err)
		}
	}
}
