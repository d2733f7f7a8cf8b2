package storetest

import (
	"context"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/revocation"
)

// announcements: every write that can end something tells so before it returns
// (attack R11), once it is committed, and no other write does. Whoever adds a
// write that ends something adds it here.
func (s *suite) announcements() {
	ctx := s.Context()
	var heard []revocation.Event
	var active func() bool // whether the token still is good, as others see it by then
	s.Announce(func(e revocation.Event) {
		heard = append(heard, e)
		if active != nil && active() {
			s.Errorf("%v is announced before it is committed", e)
		}
	})
	s.withGrant("g1")
	s.withGrant("g2")
	s.must(s.TakeCode(ctx, codeOf("g1").Hash))
	access, first, retried := tokenOf("g1", store.AccessToken, "a"), tokenOf("g1", store.RefreshToken, "r"), tokenOf("g2", store.RefreshToken, "x")
	s.must(s.AddTokens(ctx, access, first, retried))
	s.must(s.AddConsent(ctx, store.Consent{UserID: "user-1", ClientID: "dcr-1", GivenAt: now}))
	s.must(s.KeepClient(ctx, "dcr-1", now.Add(time.Hour)))
	document := agent()
	document.ID, document.Registration, document.AuthMethod = "https://a.example/client", store.RegisteredByDocument, "private_key_jwt"
	s.must(s.SaveClient(ctx, document))
	document.CreatedAt = document.CreatedAt.Add(time.Minute)
	s.must(s.SaveClient(ctx, document)) // read again, with nothing new in it
	s.must(s.rotate(ctx, first.Hash, now, grace))
	s.must(s.Expire(ctx, now))
	if len(heard) > 0 {
		s.Errorf("announced %v, though nothing ended", heard)
	}

	weaker, changed := document, agent()
	weaker.AuthMethod = "none"
	changed.Name = "Renamed"
	second := store.HashOf("second")
	for _, step := range []struct {
		name string
		end  func() error
		want revocation.Event
		fine error // what end returns
	}{
		{"RevokeToken", func() error { return s.RevokeToken(ctx, access.Hash) }, revocation.Event{Kind: revocation.Token, ID: access.ID}, nil},
		{"RevokeGrant", func() error { return s.RevokeGrant(ctx, "g1") }, revocation.Event{Kind: revocation.Grant, ID: "g1"}, nil},
		{"SetUserStatus", func() error { return s.SetUserStatus(ctx, "user-1", store.UserSuspended) }, revocation.Event{Kind: revocation.User, ID: "user-1"}, nil},
		{"SaveClient with another document", func() error { return s.SaveClient(ctx, weaker) }, revocation.Event{Kind: revocation.Client, ID: document.ID}, nil},
		{"Rotate in the grace", func() error {
			issue := func(access string, refresh store.Hash) func() (store.Token, store.Token, error) {
				return func() (store.Token, store.Token, error) {
					r := tokenOf("g2", store.RefreshToken, "successor of "+access)
					r.Hash = refresh
					return tokenOf("g2", store.AccessToken, access), r, nil
				}
			}
			s.must(s.Rotate(ctx, retried.Hash, now, grace, issue("superseded", second)))
			return s.Rotate(ctx, retried.Hash, now, grace, issue("in its place", store.HashOf("third")))
		}, revocation.Event{Kind: revocation.Token, ID: "id of superseded"}, nil},
		{"Rotate after the grace", func() error { return s.rotate(ctx, retried.Hash, now.Add(grace), grace) },
			revocation.Event{Kind: revocation.Grant, ID: "g2"}, store.ErrReused},
		{"RevokeConsent", func() error { _, err := s.RevokeConsent(ctx, "user-1", "dcr-1"); return err }, revocation.Event{Kind: revocation.User, ID: "user-1"}, nil},
		{"UpdateClient", func() error { return s.UpdateClient(ctx, changed) }, revocation.Event{Kind: revocation.Client, ID: "dcr-1"}, nil},
		{"SuspendUser", func() error { return s.SuspendUser(ctx, "user-1") }, revocation.Event{Kind: revocation.User, ID: "user-1"}, nil},
		{"SetUserRegion", func() error { return s.SetUserRegion(ctx, "user-1", "Asia") }, revocation.Event{Kind: revocation.User, ID: "user-1"}, nil},
		{"SuspendClient", func() error { return s.SuspendClient(ctx, "dcr-1", now) }, revocation.Event{Kind: revocation.Client, ID: "dcr-1"}, nil},
		{"DeleteClient", func() error { return s.DeleteClient(ctx, "dcr-1") }, revocation.Event{Kind: revocation.Client, ID: "dcr-1"}, nil},
	} {
		if heard = nil; step.name == "RevokeToken" {
			active = func() bool {
				t, err := s.Token(ctx, access.Hash)
				return err != nil || !t.Revoked
			}
		}
		s.wants(step.name, step.end(), step.fine)
		if diff := cmp.Diff([]revocation.Event{step.want}, heard); diff != "" {
			s.Errorf("%s announces (-want +got):\n%s", step.name, diff)
		}
		active = nil
	}

	heard = nil
	s.must(s.RevokeToken(ctx, access.Hash))
	s.must(s.RevokeGrant(ctx, "g1"))
	s.takeBack(false)
	if len(heard) > 0 {
		s.Errorf("announced %v, though all of it had ended before", heard)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for name, end := range map[string]func() error{
		"RevokeToken":   func() error { return s.RevokeToken(gone, access.Hash) },
		"RevokeGrant":   func() error { return s.RevokeGrant(gone, "g1") },
		"SetUserStatus": func() error { return s.SetUserStatus(gone, "user-1", store.UserApproved) },
		"RevokeConsent": func() error { _, err := s.RevokeConsent(gone, "user-1", "dcr-1"); return err },
		"DeleteClient":  func() error { return s.DeleteClient(gone, "dcr-1") },
		"SuspendUser":   func() error { return s.SuspendUser(gone, "user-1") },
		"SetUserRegion": func() error { return s.SetUserRegion(gone, "user-1", "Asia") },
		"SuspendClient": func() error { return s.SuspendClient(gone, "dcr-1", now) },
	} {
		if err := end(); err == nil || len(heard) > 0 {
			s.Errorf("%s failed (%v) and announces %v", name, err, heard)
		}
	}
}
