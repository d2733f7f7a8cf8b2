package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
)

// byIDs: users and clients are found many at once, each one time, whatever else
// is asked for.
func (s *suite) byIDs() {
	ctx := s.Context()
	s.withGrant("g1")
	other := john()
	other.ID, other.Email = "user-2", "other@demo.example"
	s.must(s.AddUser(ctx, other))
	secret := agent()
	secret.ID, secret.SecretHash = "dcr-2", store.HashOf("secret")
	s.must(s.SaveClient(ctx, secret))
	for _, ids := range [][]string{nil, {}, {""}, {`"]`, "nobody"}} {
		users, err := s.UsersByID(ctx, ids)
		equal(s, "UsersByID of nobody", users, err, nil)
		clients, err := s.ClientsByID(ctx, ids)
		equal(s, "ClientsByID of none", clients, err, nil)
	}
	users, err := s.UsersByID(ctx, []string{"user-2", "nobody", "user-1", "user-2"})
	slices.SortFunc(users, func(a, b store.User) int { return strings.Compare(a.ID, b.ID) })
	equal(s, "UsersByID", users, err, []store.User{john(), other})
	clients, err := s.ClientsByID(ctx, []string{"dcr-2", "dcr-1", "nobody", "dcr-1"})
	slices.SortFunc(clients, func(a, b store.Client) int { return strings.Compare(a.ID, b.ID) })
	equal(s, "ClientsByID", clients, err, []store.Client{agent(), secret})
}

// suspendedUser: what a user had is over, and approving them again brings none
// of it back.
func (s *suite) suspendedUser() {
	ctx := s.Context()
	user, other := john(), john()
	other.ID, other.Email = "user-2", "other@demo.example"
	for _, u := range []store.User{user, other} {
		u.Role = store.RoleAdmin
		s.must(s.AddUser(ctx, u))
	}
	s.withGrant("g1")
	s.must(s.AddTokens(ctx, tokenOf("g1", store.AccessToken, "a")))
	session := store.Session{ID: store.HashOf("mine"), UserID: "user-1", AuthTime: now, LastSeen: now, ExpiresAt: now.Add(time.Hour)}
	others := session
	others.ID, others.UserID = store.HashOf("other"), "user-2"
	for _, sess := range []store.Session{session, others} {
		s.must(s.AddSession(ctx, sess))
		s.must(s.AddAdminSession(ctx, sess))
	}
	s.wants("SuspendUser of nobody", s.SuspendUser(ctx, "nobody"), store.ErrNotFound)
	s.must(s.SuspendUser(ctx, "user-1"))
	s.must(s.SetUserStatus(ctx, "user-1", store.UserApproved))

	_, _, err := s.Session(ctx, session.ID)
	s.wants("Session", err, store.ErrNotFound)
	_, _, err = s.AdminSession(ctx, session.ID)
	s.wants("AdminSession", err, store.ErrNotFound)
	token, err := s.Token(ctx, store.HashOf("a"))
	equal(s, "revoked", token.Grant.Revoked, err, true)
	_, _, err = s.Session(ctx, others.ID)
	s.wants("another's Session", err, nil)
	_, _, err = s.AdminSession(ctx, others.ID)
	s.wants("another's AdminSession", err, nil)
}

// notApproved: who is not approved (any more) gets nothing, also when they were
// a moment before: all of it is stored in one step with looking.
func (s *suite) notApproved() {
	ctx := s.Context()
	user, device := john(), store.Device{
		ID: "d1", Hash: store.HashOf("device"), UserCode: store.HashOf("code"), ClientID: "dcr-1", Scope: "stocks/read",
		Resource: "https://mcp.demo.example/", Interval: 5 * time.Second, ExpiresAt: now.Add(10 * time.Minute),
	}
	user.Role = store.RoleAdmin
	s.must(s.AddUser(ctx, user))
	s.must(s.AddDevice(ctx, device, 10, 10, now))
	device.Status = store.DevicePending
	session := store.Session{ID: store.HashOf("cookie"), UserID: user.ID, AuthTime: now, LastSeen: now, ExpiresAt: now.Add(time.Hour)}
	all := map[string]func() error{
		"AddGrant":        func() error { return s.AddGrant(ctx, grant("g1"), codeOf("g1")) },
		"ApproveDevice":   func() error { return s.ApproveDevice(ctx, device.ID, grant("g2"), now) },
		"AddSession":      func() error { return s.AddSession(ctx, session) },
		"AddAdminSession": func() error { return s.AddAdminSession(ctx, session) },
	}
	for status, set := range map[string]func() error{
		store.UserSuspended: func() error { return s.SuspendUser(ctx, user.ID) },
		store.UserPending:   func() error { return s.SetUserStatus(ctx, user.ID, store.UserPending) },
	} {
		s.must(set())
		for name, add := range all {
			s.wants(name+" of a user who is "+status, add(), store.ErrNotFound)
		}
	}
	s.must(s.SetUserStatus(ctx, user.ID, store.UserApproved))
	_, _, err := s.Code(ctx, codeOf("g1").Hash)
	s.wants("Code", err, store.ErrNotFound)
	_, _, err = s.Session(ctx, session.ID)
	s.wants("Session", err, store.ErrNotFound)
	_, _, err = s.AdminSession(ctx, session.ID)
	s.wants("AdminSession", err, store.ErrNotFound)
	waits, err := s.DeviceByUserCode(ctx, device.UserCode, now)
	equal(s, "DeviceByUserCode", waits, err, device)
	for name, add := range all {
		if err := add(); err != nil {
			s.Errorf("%s of a user who is approved: %v", name, err)
		}
	}
}

// admins: administrators are those who are named, and the sessions of others end.
func (s *suite) admins() {
	ctx := s.Context()
	session := func(user string) store.Session {
		return store.Session{ID: store.HashOf(user), UserID: user, AuthTime: now, LastSeen: now, ExpiresAt: now.Add(time.Hour)}
	}
	for id, role := range map[string]string{"a": store.RoleAdmin, "b": store.RoleAdmin, "c": store.RoleUser} {
		s.must(s.AddUser(ctx, store.User{ID: id, Email: id + "@demo.example", Region: "USA", Role: role, Status: store.UserApproved}))
		s.must(s.AddSession(ctx, session(id)))
	}
	s.wants("AddAdminSession of a user", s.AddAdminSession(ctx, session("c")), store.ErrNotFound)
	s.must(s.AddAdminSession(ctx, session("a")))
	s.must(s.AddAdminSession(ctx, session("b")))
	for _, step := range []struct {
		emails []string
		roles  string          // of a, b and c
		ended  map[string]bool // sessions of the administration
	}{
		{[]string{"b@demo.example", "c@demo.example", "nobody@demo.example"}, "user admin admin", map[string]bool{"a": true}},
		{[]string{"b@demo.example"}, "user admin user", map[string]bool{"a": true}},
		{[]string{}, "user user user", map[string]bool{"a": true, "b": true}},
		{[]string{"b@demo.example"}, "user admin user", map[string]bool{"a": true, "b": true}},
	} {
		s.must(s.SetAdmins(ctx, step.emails))
		var roles []string
		for _, id := range []string{"a", "b", "c"} {
			u, err := s.User(ctx, id)
			s.must(err)
			roles = append(roles, u.Role)
		}
		equal(s, "roles", strings.Join(roles, " "), nil, step.roles)
		for _, id := range []string{"a", "b"} {
			_, _, err := s.AdminSession(ctx, session(id).ID)
			if ended := errors.Is(err, store.ErrNotFound); ended != step.ended[id] {
				s.Errorf("SetAdmins(%v): the session of %s: %v", step.emails, id, err)
			}
			_, _, err = s.Session(ctx, session(id).ID)
			s.wants("Session of another kind", err, nil)
		}
	}
}

// suspendedClient: a client stays suspended until it is restored, however long
// nobody uses it, and what it was granted is over for good.
func (s *suite) suspendedClient() {
	ctx := s.Context()
	s.withGrant("g1")
	s.must(s.KeepClient(ctx, "dcr-1", now.Add(time.Hour)))
	for _, id := range []string{"dcr-1", "reviewed", "dcr-1"} {
		s.must(s.SuspendClient(ctx, id, now))
	}
	s.must(s.Expire(ctx, now.Add(24*time.Hour)))
	ids, err := s.SuspendedClients(ctx)
	equal(s, "SuspendedClients", ids, err, []string{"dcr-1", "reviewed"})
	all, err := s.ClientOverviews(ctx, 0, now, 10)
	if err != nil || len(all) != 1 || !all[0].Suspended || all[0].Grants != 0 {
		s.Errorf("%+v, %v", all, err)
	}
	for range 2 {
		s.must(s.RestoreClient(ctx, "dcr-1"))
	}
	ids, err = s.SuspendedClients(ctx)
	equal(s, "SuspendedClients after RestoreClient", ids, err, []string{"reviewed"})
	g, err := s.GrantOverview(ctx, "g1", now)
	equal(s, "revoked", g.Revoked, err, true)
	s.must(s.Expire(ctx, now.Add(24*time.Hour)))
	all, err = s.ClientOverviews(ctx, 0, now, 10)
	equal(s, "ClientOverviews when it has expired", all, err, nil)

	// Neither a flood of others nor deleting it leaves a suspension behind that
	// nobody can see.
	for i := range 128 {
		c := agent()
		c.ID = fmt.Sprint("dcr-", i)
		s.must(s.AddRegistration(ctx, c, store.HashOf(c.ID), now.Add(time.Hour), 0))
		if i == 0 {
			s.must(s.SuspendClient(ctx, c.ID, now))
		}
	}
	_, err = s.Client(ctx, "dcr-1")
	s.wants("Client that a flood took with it", err, store.ErrNotFound)
	_, err = s.Client(ctx, "dcr-0")
	s.wants("Client that is suspended", err, nil)
	s.must(s.DeleteClient(ctx, "dcr-0"))
	ids, err = s.SuspendedClients(ctx)
	equal(s, "SuspendedClients after DeleteClient", ids, err, []string{"reviewed"})
}

func (s *suite) adminSessions() {
	ctx, user := s.Context(), john()
	user.Role = "admin"
	s.must(s.AddUser(ctx, user))
	session := store.Session{ID: store.HashOf("cookie"), UserID: user.ID, AuthTime: now.Add(-time.Minute), LastSeen: now, ExpiresAt: now.Add(time.Hour)}
	s.must(s.AddAdminSession(ctx, session))
	got, owner, err := s.AdminSession(ctx, session.ID)
	equal(s, "AdminSession", got, err, session)
	equal(s, "its user", owner, err, user)
	_, _, err = s.Session(ctx, session.ID)
	s.wants("Session: it is another kind", err, store.ErrNotFound)

	session.LastSeen = now.Add(time.Minute)
	s.must(s.TouchAdminSession(ctx, session.ID, session.LastSeen))
	got, _, err = s.AdminSession(ctx, session.ID)
	equal(s, "AdminSession after TouchAdminSession", got, err, session)
	s.must(s.Expire(ctx, now.Add(59*time.Minute)))
	_, _, err = s.AdminSession(ctx, session.ID)
	s.wants("AdminSession before its end", err, nil)
	s.must(s.Expire(ctx, now.Add(time.Hour)))
	_, _, err = s.AdminSession(ctx, session.ID)
	s.wants("AdminSession after its end", err, store.ErrNotFound)

	s.must(s.AddAdminSession(ctx, session))
	for range 2 {
		s.must(s.DeleteAdminSession(ctx, session.ID))
	}
	s.wants("TouchAdminSession after DeleteAdminSession", s.TouchAdminSession(ctx, session.ID, now), store.ErrNotFound)
}

// adminSignOut: who signs out, or signs out everywhere else, is signed out of
// the administration; who merely signs in anew is not, and nobody else is.
func (s *suite) adminSignOut() {
	ctx := s.Context()
	session := func(cookie, user string, at time.Time) store.Session {
		return store.Session{ID: store.HashOf(cookie), UserID: user, AuthTime: at, LastSeen: at, ExpiresAt: at.Add(time.Hour)}
	}
	for _, id := range []string{"a", "b"} {
		s.must(s.AddUser(ctx, store.User{ID: id, Email: id + "@demo.example", Region: "USA", Role: store.RoleAdmin, Status: store.UserApproved}))
	}
	first, second, other := session("first", "a", now), session("second", "a", now.Add(time.Minute)), session("other", "b", now)
	s.must(s.AddAdminSession(ctx, other))
	for name, tt := range map[string]struct {
		end  func() error
		want []store.Session
	}{
		"DeleteSession":         {func() error { return s.DeleteSession(ctx, store.HashOf("here")) }, []store.Session{second, first}},
		"EndSession of none":    {func() error { return s.EndSession(ctx, store.HashOf("none")) }, []store.Session{second, first}},
		"EndSession of another": {func() error { return s.EndSession(ctx, first.ID) }, []store.Session{second, first}}, // not of this kind
		"DeleteAdminSession":    {func() error { return s.DeleteAdminSession(ctx, first.ID) }, []store.Session{second}},
		"EndSession":            {func() error { return s.EndSession(ctx, store.HashOf("here")) }, nil},
		"DeleteOtherSessions":   {func() error { return s.DeleteOtherSessions(ctx, "a", store.HashOf("here")) }, nil},
		"EndAdminSessions": {func() error {
			had, err := s.EndAdminSessions(ctx, "a")
			again, errAgain := s.EndAdminSessions(ctx, "a")
			if !had || again {
				s.Errorf("EndAdminSessions: %v, and again: %v", had, again)
			}
			return errors.Join(err, errAgain)
		}, nil},
		"DeleteOtherSessions of b": {func() error { return s.DeleteOtherSessions(ctx, "b", store.HashOf("there")) }, []store.Session{second, first}},
	} {
		here := session("here", "a", now)
		s.must(s.AddSession(ctx, here))
		for _, sess := range []store.Session{first, second} {
			s.must(s.AddAdminSession(ctx, sess))
		}
		s.must(tt.end())
		got, err := s.AdminSessions(ctx, "a", now, 10)
		equal(s, "AdminSessions after "+name, got, err, tt.want)
		if _, _, err := s.Session(ctx, here.ID); errors.Is(err, store.ErrNotFound) != (name == "DeleteSession" || name == "EndSession") {
			s.Errorf("Session after %s: %v", name, err)
		}
		for _, sess := range []store.Session{first, second} {
			s.must(s.DeleteAdminSession(ctx, sess.ID))
		}
		s.must(s.DeleteSession(ctx, here.ID))
		if name == "DeleteOtherSessions of b" {
			s.must(s.AddAdminSession(ctx, other))
		}
		got, err = s.AdminSessions(ctx, "b", now, 10)
		equal(s, "AdminSessions of another after "+name, got, err, []store.Session{other})
	}
	s.must(s.AddAdminSession(ctx, first))
	s.must(s.AddAdminSession(ctx, second))
	got, err := s.AdminSessions(ctx, "a", now, 1)
	equal(s, "AdminSessions, at most", got, err, []store.Session{second})
	got, err = s.AdminSessions(ctx, "a", first.ExpiresAt, 10)
	equal(s, "AdminSessions when one has expired", got, err, []store.Session{second})
	users, err := s.Users(ctx, "", first.ExpiresAt, 10)
	if err != nil || len(users) != 2 || !users[0].AdminSeen.Equal(second.LastSeen) || !users[1].AdminSeen.IsZero() {
		s.Errorf("Users: %+v, %v", users, err)
	}
}

// overviews: every list is complete, page by page.
func (s *suite) overviews() {
	ctx := s.Context()
	for _, id := range []string{"g1", "g2", "g3"} {
		s.withGrant(id)
	}
	other, document := john(), agent()
	other.ID, other.Email, other.Status = "user-2", "a@demo.example", store.UserPending
	document.ID, document.Registration = "https://a.example/c", store.RegisteredByDocument
	s.must(s.AddUser(ctx, other))
	s.must(s.SaveClient(ctx, document))
	s.must(s.AddSession(ctx, store.Session{ID: store.HashOf("s"), UserID: "user-1", AuthTime: now, LastSeen: now, ExpiresAt: now.Add(time.Hour)}))
	access := tokenOf("g2", store.AccessToken, "a")
	s.must(s.AddTokens(ctx, access, tokenOf("g2", store.RefreshToken, "r")))
	s.must(s.NoteUses(ctx, map[string]time.Time{"g2": now.Add(time.Minute)}))
	s.must(s.RevokeGrant(ctx, "g3"))
	after := now.Add(2 * time.Minute) // the codes have expired: g2 alone is good for something

	var emails []string
	for last := ""; ; {
		page, err := s.Users(ctx, last, after, 1)
		s.must(err)
		if len(page) == 0 {
			break
		}
		last = page[0].Email
		emails = append(emails, last)
		if want := map[string]int{"user-1": 1}[page[0].ID]; page[0].Sessions != want {
			s.Errorf("%s has %d sessions, want %d", last, page[0].Sessions, want)
		}
	}
	equal(s, "Users", emails, nil, []string{"a@demo.example", "john.doe@demo.example"})

	var seen []string
	for place := int64(0); ; {
		page, err := s.ClientOverviews(ctx, place, after, 1)
		s.must(err)
		if len(page) == 0 {
			break
		}
		place = page[0].Place
		seen = append(seen, page[0].ID)
	}
	equal(s, "ClientOverviews", seen, nil, []string{document.ID, "dcr-1"})
	uses, err := s.ClientUses(ctx, []string{"dcr-1", "nobody"}, after)
	equal(s, "ClientUses", uses, err, map[string]store.ClientUse{"dcr-1": {Grants: 2, UsedAt: now.Add(time.Minute)}, "nobody": {}})
	page, err := s.ClientOverviews(ctx, 0, after, 2)
	if err != nil || page[1].Grants != 2 || !page[1].UsedAt.Equal(now.Add(time.Minute)) || cmp.Diff(agent(), page[1].Client) != "" {
		s.Errorf("%+v, %v", page, err)
	}

	for name, tt := range map[string]struct {
		user, client, before string
		at                   time.Time
		want                 []string
	}{
		"codes are good":       {"", "", "", now, []string{"g2", "g1"}},
		"the next page":        {"", "", "g2", now, []string{"g1"}},
		"tokens alone":         {"", "", "", after, []string{"g2"}},
		"of the user":          {"user-1", "dcr-1", "", after, []string{"g2"}},
		"of another user":      {"user-2", "", "", after, nil},
		"of another client":    {"", document.ID, "", after, nil},
		"when all has expired": {"", "", "", now.Add(time.Hour), nil},
	} {
		found, err := s.LiveGrants(ctx, tt.user, tt.client, tt.before, tt.at, 10)
		var ids []string
		for _, g := range found {
			ids = append(ids, g.ID)
			if g.User.Email != john().Email || !g.Live {
				s.Errorf("%s: %+v", name, g)
			}
		}
		equal(s, "LiveGrants, "+name, ids, err, tt.want)
	}
	one, err := s.LiveGrants(ctx, "", "", "", now, 1)
	equal(s, "LiveGrants, at most", len(one), err, 1)
	g, err := s.GrantOverview(ctx, "g1", after)
	equal(s, "GrantOverview: not live", g.Live, err, false)
	_, err = s.GrantOverview(ctx, "none", after)
	s.wants("GrantOverview of none", err, store.ErrNotFound)

	tokens, err := s.TokensOf(ctx, "g2", after, 10)
	equal(s, "TokensOf", len(tokens), err, 2)
	tokens, err = s.TokensOf(ctx, "g2", after, 1)
	equal(s, "TokensOf, at most", tokens, err, []store.Token{access})
	tokens, err = s.TokensOf(ctx, "g2", now.Add(time.Hour), 10)
	equal(s, "TokensOf when they have expired", tokens, err, nil)

	s.must(s.SetUserRegion(ctx, "user-1", "Asia"))
	moved, err := s.User(ctx, "user-1")
	equal(s, "SetUserRegion", moved.Region, err, "Asia")
	s.wants("SetUserRegion of nobody", s.SetUserRegion(ctx, "nobody", "Asia"), store.ErrNotFound)
	s.must(s.SuspendClient(ctx, "reviewed", now))
	totals, err := s.Totals(ctx, after)
	equal(s, "Totals", totals, err, store.Totals{Users: 2, Pending: 1, Clients: 2, SuspendedClients: 1, Grants: 2, Sessions: 1})

	for i, p := range [][2]string{{"a", "1"}, {"a", "2"}, {"b", "2"}} {
		_, err := s.LogPasscode(ctx, p[0], p[1], now.Add(time.Duration(i)*time.Minute), now.Add(-time.Hour), func(int, int, int) bool { return true })
		s.must(err)
	}
	all, addresses, ips, err := s.PasscodesSince(ctx, now)
	equal(s, "PasscodesSince", []int{all, addresses, ips}, err, []int{2, 2, 1})
}
