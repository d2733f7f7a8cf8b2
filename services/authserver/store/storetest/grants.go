package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"demo.example/services/authserver/store"
)

func (s *suite) clients() {
	ctx, c := s.Context(), agent()
	_, err := s.Client(ctx, c.ID)
	s.wants("Client before", err, store.ErrNotFound)

	c.SecretHash = store.HashOf("secret")
	want := agent()
	want.SecretHash = c.SecretHash
	s.must(s.SaveClient(ctx, c))
	c.RedirectURIs[0] = "https://evil.example/cb"
	got, err := s.Client(ctx, c.ID)
	equal(s, "Client after the caller changed its own", got, err, want)
	got.RedirectURIs[0] = "https://evil.example/cb"
	got, err = s.Client(ctx, c.ID)
	equal(s, "Client after a reader changed what it got", got, err, want)
}

// clientKinds: what somebody registers or publishes never replaces a client
// that came to be known in another way (attack D6).
func (s *suite) clientKinds() {
	kinds := []string{store.RegisteredDynamically, store.RegisteredByDocument, store.RegisteredByReview}
	for _, first := range kinds {
		for _, second := range kinds {
			name := first + " then " + second
			c := agent()
			c.ID, c.Registration, c.SecretHash = "https://client.example/"+name, first, store.HashOf("first")
			s.must(s.SaveClient(s.Context(), c))
			want, next := c, c
			next.Registration, next.Name, next.SecretHash = second, "Another", store.HashOf("second")
			next.RedirectURIs = []string{"https://evil.example/cb"}
			err := s.SaveClient(s.Context(), next)
			if first == store.RegisteredByDocument && second == store.RegisteredByDocument {
				s.must(err) // a document that changed
				want, want.SecretHash = next, c.SecretHash
			} else {
				s.wants(name, err, store.ErrExists)
			}
			got, err := s.Client(s.Context(), c.ID)
			equal(s, name, got, err, want)
		}
	}
}

func (s *suite) consents() {
	ctx := s.Context()
	s.must(s.AddUser(ctx, john()))
	given := store.Consent{UserID: "user-1", ClientID: "stocks-web", RedirectURI: "https://a.example/cb", Resource: "https://api.demo.example", Scope: "stocks/read", GivenAt: now}
	got, err := s.HasConsent(ctx, given)
	equal(s, "HasConsent before", got, err, false)
	s.must(s.AddConsent(ctx, given))
	given.GivenAt = now.Add(time.Hour)
	s.must(s.AddConsent(ctx, given)) // a second time is fine
	got, err = s.HasConsent(ctx, given)
	equal(s, "HasConsent", got, err, true)
	for name, change := range map[string]func(*store.Consent){
		"another user":         func(c *store.Consent) { c.UserID = "user-2" },
		"another client":       func(c *store.Consent) { c.ClientID = "other" },
		"another redirect URI": func(c *store.Consent) { c.RedirectURI += "/x" },
		"another resource":     func(c *store.Consent) { c.Resource = "https://mcp.demo.example/" },
		"a wider scope":        func(c *store.Consent) { c.Scope += " email" },
	} {
		other := given
		change(&other)
		got, err := s.HasConsent(ctx, other)
		equal(s, "HasConsent for "+name, got, err, false)
	}
}

func (s *suite) codes() {
	ctx, want := s.Context(), codeOf("g1")
	_, _, err := s.Code(ctx, want.Hash)
	s.wants("Code before", err, store.ErrNotFound)
	s.wants("TakeCode before", s.TakeCode(ctx, want.Hash), store.ErrNotFound)

	s.withGrant("g1")
	got, g, err := s.Code(ctx, want.Hash)
	equal(s, "Code", got, err, want)
	equal(s, "Code's grant", g, err, grant("g1"))

	s.must(s.TakeCode(ctx, want.Hash))
	s.wants("TakeCode again", s.TakeCode(ctx, want.Hash), store.ErrNotFound)
	want.Used = true
	got, _, err = s.Code(ctx, want.Hash)
	equal(s, "Code that was used, to notice a replay", got, err, want)
}

// grantIsAtomic: there is no grant without its code, and no code without its
// grant.
func (s *suite) grantIsAtomic() {
	ctx := s.Context()
	s.withGrant("g1")

	otherCode := codeOf("g2")
	otherCode.GrantID = "g1"
	s.wants("AddGrant with a known id", s.AddGrant(ctx, grant("g1"), otherCode), store.ErrExists)
	_, _, err := s.Code(ctx, otherCode.Hash)
	s.wants("its code", err, store.ErrNotFound)

	sameCode := codeOf("g1")
	sameCode.GrantID = "g2"
	s.wants("AddGrant with a known code", s.AddGrant(ctx, grant("g2"), sameCode), store.ErrExists)
	s.wants("its grant", s.AddTokens(ctx, tokenOf("g2", store.AccessToken, "t")), store.ErrNotFound)

	nobody := grant("g3")
	nobody.UserID = "user-2"
	if err := s.AddGrant(ctx, nobody, codeOf("g3")); err == nil {
		s.Error("AddGrant of a user who is not there succeeded")
	}
	_, _, err = s.Code(ctx, codeOf("g3").Hash)
	s.wants("its code", err, store.ErrNotFound)
}

func (s *suite) tokens() {
	ctx := s.Context()
	s.withGrant("g1")
	access, refresh := tokenOf("g1", store.AccessToken, "a"), tokenOf("g1", store.RefreshToken, "r")
	refresh.Scope = "stocks/read openid"
	_, err := s.Token(ctx, access.Hash)
	s.wants("Token before", err, store.ErrNotFound)
	_, err = s.TokenByID(ctx, access.ID)
	s.wants("TokenByID before", err, store.ErrNotFound)

	s.must(s.AddTokens(ctx, access, refresh))
	for _, want := range []store.Token{access, refresh} {
		live := store.LiveToken{Token: want, Grant: grant("g1"), User: john(), Client: agent()}
		got, err := s.Token(ctx, want.Hash)
		equal(s, "Token", got, err, live)
		got, err = s.TokenByID(ctx, want.ID)
		equal(s, "TokenByID", got, err, live)
	}

	// A reviewed client is not in the store; the caller looks for it elsewhere.
	reviewed := grant("g2")
	reviewed.ClientID = "stocks-web"
	s.must(s.AddGrant(ctx, reviewed, codeOf("g2")))
	t := tokenOf("g2", store.AccessToken, "w")
	s.must(s.AddTokens(ctx, t))
	got, err := s.Token(ctx, t.Hash)
	equal(s, "Token of a reviewed client", got, err, store.LiveToken{Token: t, Grant: reviewed, User: john()})

	s.must(s.SetUserStatus(ctx, "user-1", store.UserSuspended))
	if got, err = s.Token(ctx, access.Hash); err != nil || got.User.Status != store.UserSuspended {
		s.Errorf("Token of a suspended user: %v, %v", got.User, err)
	}
}

// tokensAreAtomic: of the tokens of one answer all are stored or none.
func (s *suite) tokensAreAtomic() {
	ctx := s.Context()
	s.withGrant("g1")
	s.withGrant("g2")
	s.must(s.RevokeGrant(ctx, "g2"))
	s.must(s.AddTokens(ctx, tokenOf("g1", store.AccessToken, "known")))
	known := tokenOf("g1", store.AccessToken, "known")
	sameID := tokenOf("g1", store.AccessToken, "same id")
	sameID.ID = known.ID
	for name, tt := range map[string]struct {
		second store.Token
		want   error
	}{
		"known hash":    {known, store.ErrExists},
		"known id":      {sameID, store.ErrExists},
		"no such grant": {tokenOf("g3", store.RefreshToken, "r3"), store.ErrNotFound},
		"revoked grant": {tokenOf("g2", store.RefreshToken, "r2"), store.ErrNotFound},
	} {
		first := tokenOf("g1", store.AccessToken, "with "+name)
		s.wants("AddTokens, "+name, s.AddTokens(ctx, first, tt.second), tt.want)
		_, err := s.Token(ctx, first.Hash)
		s.wants("the token beside it, "+name, err, store.ErrNotFound)
	}
}

func (s *suite) revoke() {
	ctx := s.Context()
	s.withGrant("g1")
	s.withGrant("g2")
	one, two, other := tokenOf("g1", store.AccessToken, "1"), tokenOf("g1", store.RefreshToken, "2"), tokenOf("g2", store.AccessToken, "3")
	s.must(s.AddTokens(ctx, one, two))
	s.must(s.AddTokens(ctx, other))
	state := func(hash store.Hash) [2]bool {
		s.Helper()
		t, err := s.Token(ctx, hash)
		s.must(err)
		return [2]bool{t.Revoked, t.Grant.Revoked}
	}

	s.must(s.RevokeToken(ctx, one.Hash))
	s.must(s.RevokeToken(ctx, one.Hash))                // again
	s.must(s.RevokeToken(ctx, store.HashOf("unknown"))) // RFC 7009 §2.2: not an error
	equal(s, "the token", state(one.Hash), nil, [2]bool{true, false})
	equal(s, "the other of the grant", state(two.Hash), nil, [2]bool{false, false})

	s.must(s.RevokeGrant(ctx, "g1"))
	s.must(s.RevokeGrant(ctx, "g1"))
	s.must(s.RevokeGrant(ctx, "unknown"))
	equal(s, "the other of the grant that ended", state(two.Hash), nil, [2]bool{false, true})
	equal(s, "another grant's", state(other.Hash), nil, [2]bool{false, false})
	s.wants("AddTokens to a revoked grant", s.AddTokens(ctx, tokenOf("g1", store.AccessToken, "4")), store.ErrNotFound)
	if _, g, err := s.Code(ctx, codeOf("g1").Hash); err != nil || !g.Revoked {
		s.Errorf("Code of a revoked grant: %v, %v", g, err)
	}
}

func (s *suite) refresh() {
	ctx := s.Context()
	s.withGrant("g1")
	access, rotated, revoked := tokenOf("g1", store.AccessToken, "a"), tokenOf("g1", store.RefreshToken, "r"), tokenOf("g1", store.RefreshToken, "x")
	s.must(s.AddTokens(ctx, access, rotated, revoked))
	failed := errors.New("no random numbers")
	err := s.Rotate(ctx, rotated.Hash, now, 0, func() (access, refresh store.Token, err error) { return access, refresh, failed })
	s.wants("Rotate without a successor", err, failed)
	s.must(s.rotate(ctx, rotated.Hash, now, grace))
	if t, err := s.Token(ctx, rotated.Hash); err != nil || !t.Used {
		s.Errorf("a rotated token is kept, to notice its reuse: %v, %v", t, err)
	}
	s.must(s.RevokeToken(ctx, revoked.Hash))
	for name, hash := range map[string]store.Hash{"revoked": revoked.Hash, "an access token": access.Hash, "unknown": store.HashOf("unknown")} {
		s.wants("Rotate, "+name, s.rotate(ctx, hash, now, grace), store.ErrNotFound)
	}
	s.must(s.rotate(ctx, rotated.Hash, now.Add(grace-time.Millisecond), grace)) // the answer was lost
	s.wants("Rotate after the grace", s.rotate(ctx, rotated.Hash, now.Add(grace), grace), store.ErrReused)
	if t, err := s.Token(ctx, access.Hash); err != nil || !t.Grant.Revoked {
		s.Errorf("a grant whose refresh token was reused: %v, %v", t.Grant, err)
	}

	s.withGrant("g2")
	other := tokenOf("g2", store.RefreshToken, "o")
	s.must(s.AddTokens(ctx, other))
	s.takeBack(true)
	s.wants("Rotate after the consent was taken back", s.rotate(ctx, other.Hash, now, grace), store.ErrNotFound)
}

// forgotten: a client whose consent is forgotten has to ask, and keeps what it has.
func (s *suite) forgotten() {
	ctx := s.Context()
	s.withGrant("g1")
	given := store.Consent{UserID: "user-1", ClientID: "dcr-1", RedirectURI: "https://a.example/cb", Resource: "r", Scope: "stocks/read", GivenAt: now}
	other := given
	other.UserID = "user-2"
	s.must(s.AddUser(ctx, store.User{ID: "user-2", Email: "b@demo.example", Region: "USA", Role: "user", Status: store.UserApproved}))
	s.must(s.AddConsent(ctx, given))
	s.must(s.AddConsent(ctx, other))
	access := tokenOf("g1", store.AccessToken, "a")
	s.must(s.AddTokens(ctx, access))
	for range 2 {
		s.must(s.ForgetConsent(ctx, "user-1", "dcr-1"))
	}
	has, err := s.HasConsent(ctx, given)
	equal(s, "HasConsent", has, err, false)
	has, err = s.HasConsent(ctx, other)
	equal(s, "HasConsent of another", has, err, true)
	got, err := s.Token(ctx, access.Hash)
	equal(s, "Grant.Revoked", got.Grant.Revoked, err, false)
}

// takeBack ends what user-1 allowed dcr-1, which there was or was not.
func (s *suite) takeBack(want bool) {
	s.Helper()
	if had, err := s.RevokeConsent(s.Context(), "user-1", "dcr-1"); err != nil || had != want {
		s.Errorf("RevokeConsent: %t, %v, want %t", had, err, want)
	}
}

// grace is how long a rotated refresh token may come again.
const grace = 10 * time.Second

// rotate trades a refresh token for a new pair.
func (s *suite) rotate(ctx context.Context, hash store.Hash, at time.Time, grace time.Duration) error {
	return s.Rotate(ctx, hash, at, grace, func() (access, refresh store.Token, err error) {
		grant := "g1"
		if t, err := s.Token(s.Context(), hash); err == nil {
			grant = t.GrantID
		}
		return tokenOf(grant, store.AccessToken, rand.Text()), tokenOf(grant, store.RefreshToken, rand.Text()), nil
	})
}

func (s *suite) keys() {
	ctx := s.Context()
	got, err := s.Keys(ctx)
	equal(s, "number of keys before", len(got), err, 0)
	older := store.Key{ID: "b", Private: []byte("sealed b"), CreatedAt: now}
	newer := store.Key{ID: "a", Private: []byte("sealed a"), CreatedAt: now.Add(time.Hour)}
	s.must(s.AddKey(ctx, newer))
	s.must(s.AddKey(ctx, older))
	s.wants("AddKey again", s.AddKey(ctx, older), store.ErrExists)
	want := []store.Key{{ID: "b", Private: []byte("sealed b"), CreatedAt: older.CreatedAt}, {ID: "a", Private: []byte("sealed a"), CreatedAt: newer.CreatedAt}}
	clear(older.Private)
	got, err = s.Keys(ctx)
	equal(s, "Keys, oldest first", got, err, want)
	for _, k := range got {
		clear(k.Private)
	}
	got, err = s.Keys(ctx)
	equal(s, "Keys after a reader changed what it got", got, err, want)
}

// takenOnce: whatever may be used once goes to one of many callers (attacks
// O4 and P6).
func (s *suite) takenOnce() {
	ctx, browser := s.Context(), store.HashOf("browser")
	s.withGrant("g1")
	s.must(s.AddTokens(ctx, tokenOf("g1", store.RefreshToken, "r")))
	s.must(s.AddRequest(ctx, request("r1")))
	s.must(s.AddRequest(ctx, request("r2")))
	s.must(s.SetPasscode(ctx, passcode("r1")))
	s.must(s.SetPasscode(ctx, passcode("r2")))
	for name, take := range map[string]func() error{
		"TakeRequest":  func() error { _, err := s.TakeRequest(ctx, "r2", browser, now); return err },
		"TakeCode":     func() error { return s.TakeCode(ctx, codeOf("g1").Hash) },
		"Rotate":       func() error { return s.rotate(ctx, store.HashOf("r"), now, 0) },
		"TakePasscode": func() error { return s.TakePasscode(ctx, "r1", passcode("r1").MAC) },
	} {
		if won := s.race(name, take); won != 1 {
			s.Errorf("%s succeeded for %d of %d callers, want 1", name, won, parallel)
		}
	}
	if c, _, err := s.Code(ctx, codeOf("g1").Hash); err != nil || !c.Used {
		s.Errorf("the code that was taken: %v, %v", c, err)
	}
}
