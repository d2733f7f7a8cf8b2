package storetest

import (
	"crypto/rand"
	"time"

	"demo.example/services/authserver/store"
)

func approval(id string) store.Approval {
	return store.Approval{ID: id, GrantID: "g1", Caller: "stocksmcp", Details: `{"symbol":"ALDP"}`, CreatedAt: now, ExpiresAt: now.Add(10 * time.Minute)}
}

// approvals: one is asked for, decided by its user, and taken once, by the
// caller that asked and for the grant that it asked about.
func (s *suite) approvals() {
	ctx, declinedSince := s.Context(), now.Add(-time.Minute)
	_, _, err := s.AskApproval(ctx, approval("a1"), 2, declinedSince)
	s.wants("AskApproval for a grant that is not there", err, store.ErrNotFound)
	_, err = s.Approval(ctx, "a1")
	s.wants("Approval before", err, store.ErrNotFound)
	s.withGrant("g1")
	s.withGrant("g2")

	ask := func(a store.Approval, wantID string, wantNew bool) store.Approval {
		s.Helper()
		got, created, err := s.AskApproval(ctx, a, 2, declinedSince)
		s.must(err)
		if got.ID != wantID || created != wantNew {
			s.Errorf("AskApproval %s: %s, new %v; want %s, %v", a.ID, got.ID, created, wantID, wantNew)
		}
		return got
	}
	want := approval("a1")
	want.Status = store.ApprovalPending
	equal(s, "AskApproval", ask(approval("a1"), "a1", true), nil, want)
	equal(s, "AskApproval again", ask(approval("a2"), "a1", false), nil, want)
	live, err := s.Approval(ctx, "a1")
	equal(s, "Approval", live, err, store.LiveApproval{Approval: want, Grant: grant("g1"), User: john()})

	other := approval("a3")
	other.Details = `{"symbol":"OTHER"}`
	ask(other, "a3", true)
	third := approval("a4")
	third.Caller = "another"
	_, _, err = s.AskApproval(ctx, third, 2, declinedSince)
	s.wants("AskApproval beyond the bound", err, store.ErrFull)
	third.GrantID = "g2"
	ask(third, "a4", true) // another grant has a bound of its own

	s.wants("TakeApproval that is pending", s.TakeApproval(ctx, "a1", "g1", "stocksmcp", now), store.ErrNotFound)
	for name, err := range map[string]error{
		"of nothing":      s.DecideApproval(ctx, "a9", "user-1", store.ApprovalApproved, now, now),
		"by another user": s.DecideApproval(ctx, "a1", "user-2", store.ApprovalApproved, now, now),
		"too late":        s.DecideApproval(ctx, "a1", "user-1", store.ApprovalApproved, now, want.ExpiresAt),
	} {
		s.wants("DecideApproval "+name, err, store.ErrNotFound)
	}
	s.must(s.DecideApproval(ctx, "a1", "user-1", store.ApprovalApproved, now.Add(-time.Minute), now))
	want.Status, want.AuthTime, want.DecidedAt = store.ApprovalApproved, now.Add(-time.Minute), now
	live, err = s.Approval(ctx, "a1")
	equal(s, "Approval that was approved", live.Approval, err, want)
	s.wants("DecideApproval again", s.DecideApproval(ctx, "a1", "user-1", store.ApprovalDeclined, now, now), store.ErrNotFound)
	equal(s, "AskApproval while it is approved", ask(approval("a5"), "a1", false), nil, want)

	for name, err := range map[string]error{
		"of another grant":  s.TakeApproval(ctx, "a1", "g2", "stocksmcp", now),
		"by another caller": s.TakeApproval(ctx, "a1", "g1", "another", now),
		"too late":          s.TakeApproval(ctx, "a1", "g1", "stocksmcp", want.ExpiresAt),
	} {
		s.wants("TakeApproval "+name, err, store.ErrNotFound)
	}
	if won := s.race("TakeApproval", func() error { return s.TakeApproval(ctx, "a1", "g1", "stocksmcp", now) }); won != 1 {
		s.Errorf("TakeApproval succeeded for %d of %d callers, want 1", won, parallel)
	}
	ask(approval("a6"), "a6", true) // what was used does not count any more

	s.must(s.DecideApproval(ctx, "a6", "user-1", store.ApprovalDeclined, now, now))
	ask(approval("a7"), "a6", false)
	declinedSince = now
	ask(approval("a7"), "a7", true) // the refusal is old

	s.must(s.RevokeGrant(ctx, "g1"))
	s.wants("DecideApproval of a revoked grant", s.DecideApproval(ctx, "a7", "user-1", store.ApprovalApproved, now, now), store.ErrNotFound)
	fresh := approval("a8")
	fresh.Details = "{}"
	_, _, err = s.AskApproval(ctx, fresh, 9, declinedSince)
	s.wants("AskApproval of a revoked grant", err, store.ErrNotFound)
	s.must(s.DecideApproval(ctx, "a4", "user-1", store.ApprovalApproved, now, now))
	s.takeBack(true)
	s.wants("TakeApproval after consent was revoked", s.TakeApproval(ctx, "a4", "g2", "another", now), store.ErrNotFound)

	list, err := s.Approvals(ctx, "user-1", 3)
	if err != nil || len(list) != 3 {
		s.Errorf("Approvals: %d of 3, %v", len(list), err)
	}
	s.must(s.Expire(ctx, now.Add(7*24*time.Hour)))
	_, err = s.Approval(ctx, "a1")
	s.must(err)
	s.must(s.Expire(ctx, now.Add(7*24*time.Hour+10*time.Minute)))
	_, err = s.Approval(ctx, "a1")
	s.wants("Approval a week after it expired", err, store.ErrNotFound)
}

// approvalIsOne: asking the same at once from everywhere puts one question to
// the user.
func (s *suite) approvalIsOne() {
	s.withGrant("g1")
	ids := make(chan string, parallel)
	s.race("AskApproval", func() error {
		a, _, err := s.AskApproval(s.Context(), approval(rand.Text()), 1, now)
		ids <- a.ID
		return err
	})
	first := <-ids
	for len(ids) > 0 {
		if id := <-ids; id != first {
			s.Errorf("two approvals of the same: %q and %q", first, id)
		}
	}
}

// account: what a user sees of the access in their name.
func (s *suite) account() {
	ctx := s.Context()
	for _, id := range []string{"g1", "g2", "g3"} {
		s.withGrant(id)
		s.must(s.TakeCode(ctx, codeOf(id).Hash))
	}
	live, over := tokenOf("g1", store.RefreshToken, "r1"), tokenOf("g2", store.AccessToken, "a2")
	s.must(s.AddTokens(ctx, live, over))
	s.must(s.RevokeToken(ctx, over.Hash))
	s.must(s.AddTokens(ctx, tokenOf("g3", store.AccessToken, "a3")))
	s.must(s.RevokeGrant(ctx, "g3"))
	s.must(s.NoteUses(ctx, map[string]time.Time{"g1": now.Add(time.Hour), "gone": now}))
	s.must(s.NoteUses(ctx, map[string]time.Time{"g1": now.Add(time.Minute), "g2": now})) // written late: the newer one stays

	revoked := grant("g3")
	revoked.Revoked = true
	got, err := s.Access(ctx, "user-1", now, 10)
	equal(s, "Access", got, err, []store.Access{
		{Grant: grant("g1"), UsedAt: now.Add(time.Hour), Live: true}, {Grant: grant("g2"), UsedAt: now}, {Grant: revoked},
	})
	got, err = s.Access(ctx, "user-1", now, 1)
	equal(s, "Access, bounded", got, err, []store.Access{{Grant: grant("g1"), UsedAt: now.Add(time.Hour), Live: true}})
	got, err = s.Access(ctx, "user-2", now, 10)
	equal(s, "Access of another user", got, err, nil)
	got, err = s.Access(ctx, "user-1", grant("g1").ExpiresAt, 10)
	equal(s, "Access when the grants have expired", got, err, nil)

	given := store.Consent{UserID: "user-1", ClientID: "dcr-1", RedirectURI: "r", Resource: "m", Scope: "s", GivenAt: now}
	s.must(s.AddConsent(ctx, given))
	consents, err := s.Consents(ctx, "user-1", 10)
	equal(s, "Consents", consents, err, []store.Consent{given})
	consents, err = s.Consents(ctx, "user-2", 10)
	equal(s, "Consents of another user", consents, err, nil)
}

// ownSessions: a user sees where they are signed in, and ends all of it but
// one.
func (s *suite) ownSessions() {
	ctx := s.Context()
	s.must(s.AddUser(ctx, john()))
	jane := store.User{ID: "user-2", Email: "jane@demo.example", Status: store.UserApproved}
	s.must(s.AddUser(ctx, jane))
	session := func(cookie, user string, at time.Time) store.Session {
		return store.Session{ID: store.HashOf(cookie), UserID: user, AuthTime: at, LastSeen: at, ExpiresAt: at.Add(8 * time.Hour)}
	}
	first, second, hers := session("1", "user-1", now), session("2", "user-1", now.Add(time.Minute)), session("3", "user-2", now)
	for _, sess := range []store.Session{first, second, hers} {
		s.must(s.AddSession(ctx, sess))
	}
	s.must(s.NameSession(ctx, first.ID, "Firefox", "192.0.2.1"))
	s.must(s.NameSession(ctx, first.ID, "Another", "192.0.2.2")) // it began where it began
	s.must(s.NameSession(ctx, store.HashOf("gone"), "Firefox", "192.0.2.1"))

	named := store.NamedSession{Session: first, Browser: "Firefox", Address: "192.0.2.1"}
	got, err := s.Sessions(ctx, "user-1", now, 10)
	equal(s, "Sessions", got, err, []store.NamedSession{{Session: second}, named})
	got, err = s.Sessions(ctx, "user-1", now, 1)
	equal(s, "Sessions, bounded", got, err, []store.NamedSession{{Session: second}})
	got, err = s.Sessions(ctx, "user-1", first.ExpiresAt, 10)
	equal(s, "Sessions when one has expired", got, err, []store.NamedSession{{Session: second}})

	s.must(s.DeleteOtherSessions(ctx, "user-1", first.ID))
	got, err = s.Sessions(ctx, "user-1", now, 10)
	equal(s, "Sessions after the others ended", got, err, []store.NamedSession{named})
	got, err = s.Sessions(ctx, "user-2", now, 10)
	equal(s, "Sessions of another user", got, err, []store.NamedSession{{Session: hers}})
}
