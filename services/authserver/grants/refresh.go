package grants

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
)

// RefreshGrace is how long after its use a refresh token may be sent again by
// a client that lost the answer, or that refreshes in several places at once.
const RefreshGrace = 10 * time.Second

// Refresh trades a refresh token for new tokens (RFC 6749 §6) and replaces it.
//
// A token that was replaced before and comes again is in two hands, one of
// them a thief's, and so the whole grant ends (RFC 9700 §4.14.2). But the
// second hand may also be the same client's: an answer that got lost, a
// process that was killed, two windows that refresh at once. Strict rotation
// throws such people out. Hence the grace: for RefreshGrace after a token was
// used, the same client may send it again and gets a new pair, provided that
// nobody has used the successor.
//
// A thief must not gain by that. So a pair that is given in the grace takes
// the place of the one given before: the earlier refresh token counts as used,
// and the earlier access token ends at that moment.
//
//   - There is one unused refresh token in a family at any time, as without a
//     grace. A thief cannot walk beside the client: of the two pairs one is
//     dead. If it is the client's, its next call fails, it refreshes with what
//     it has, and that token is a used one. If it is the thief's, likewise.
//     That is where a thief stands who sends a token just before its client
//     does, which no rotation prevents: found out at the other's next call.
//   - The time runs from the first use and does not start again with a retry.
//     Two that take the place from each other end at the latest after
//     RefreshGrace, with the family.
//   - Once the successor was used, its client has seen the answer, and there
//     is no reason left to ask for it: the family ends, grace or no grace.
//   - A confidential client's token is worth nothing without its credentials,
//     in the grace as ever.
//
// To judge and to replace is one transaction of the store, so all of this
// holds for any number of requests at once, and after a restart. The old
// access token, which came with the token that is sent, lives on until it
// expires: calls that are under way do not fail because of a refresh.
func (s *Service) Refresh(ctx context.Context, c store.Client, secret, scope, resource string) (Tokens, error) {
	unknown := oauth.InvalidGrant("the refresh token is unknown, expired, revoked or already used; start a new authorization request")
	hash := store.HashOf(secret)
	t, err := s.Store.Token(ctx, hash)
	if err == nil {
		t, err = s.liveGrant(ctx, t)
	}
	now := s.Now()
	if errors.Is(err, store.ErrNotFound) || err == nil && (t.Kind != store.RefreshToken || t.Grant.ClientID != c.ID) {
		return Tokens{}, unknown
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("find refresh token: %w", err)
	}
	about(ctx, t.Grant)
	if err := checkProofKey(ctx, t.JKT); err != nil {
		return Tokens{}, err // without the key nobody does anything with it, not even end the grant
	}
	if !t.Used && !now.Before(t.ExpiresAt) {
		return Tokens{}, unknown
	}
	var out Tokens
	err = s.Store.Rotate(ctx, hash, now, RefreshGrace, func() (access, refresh store.Token, err error) {
		// What the client can mend is said before the token is used up, and
		// to nobody who sends a stale one.
		if resource != "" && s.Site.CanonicalResource(resource) != t.Grant.Resource {
			return access, refresh, oauth.InvalidTarget("the refresh token is for another resource")
		}
		narrowed, err := narrow(scope, t.Scope)
		if err != nil {
			return access, refresh, err
		}
		if wait := s.Refreshes.Take(t.GrantID); wait > 0 {
			return access, refresh, &oauth.Error{Code: "slow_down", Status: http.StatusTooManyRequests, RetryAfter: wait,
				Description: fmt.Sprintf("the tokens of a grant can be refreshed %d times an hour; use an access token until it expires", RefreshesPerHour)}
		}
		out, access = s.newAccess(ctx, t.Grant, narrowed)
		out.RefreshToken, refresh = s.newRefresh(ctx, c, t.Grant, t.Scope) // a narrower scope is for this access token alone (RFC 6749 §6)
		return access, refresh, nil
	})
	switch {
	case errors.Is(err, store.ErrReused):
		audit.On(ctx).Kind = audit.TokenReused
		s.Log.WarnContext(ctx, "refresh token reused; its grant is revoked", "client_id", c.ID, "grant_id", t.GrantID)
		return Tokens{}, unknown
	case errors.Is(err, store.ErrNotFound):
		return Tokens{}, unknown
	case err != nil:
		return Tokens{}, fmt.Errorf("rotate refresh token: %w", err)
	}
	return out, nil
}
