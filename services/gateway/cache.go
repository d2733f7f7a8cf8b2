package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"demo.example/services/internal/revocation"
)

// Refusals are remembered too, but apart and briefly: whoever tries random
// tokens can neither push good ones out nor flood the authorization server
// with one of them.
const (
	refusalTTL  = time.Second
	maxRefusals = 1024 // tokens
)

// lookupTimeout bounds one question to the authorization server.
const lookupTimeout = 3 * time.Second

// tokenCache remembers what stands behind the tokens in use. Whether an answer
// is still good is for the Watch to say, so no token passes for longer than
// revocation.Bound after it was revoked, on every replica.
type tokenCache struct {
	active  *tokenStore
	refused *lru.Cache[cacheKey, refusedToken]
	flights singleflight.Group
	revoked *revocation.Watch
	now     func() time.Time
	lookup  func(ctx context.Context, token, resource string) (phantom, error)
}

// cacheKey holds a hash, so that the memory of the process has no list of
// usable tokens.
type cacheKey struct {
	token    [sha256.Size]byte
	resource string
}

type activeToken struct {
	phantom
	asked revocation.Asked
}

type refusedToken struct {
	refusal
	until time.Time
}

// newTokenCache returns a cache of at most the given number of bytes. An error
// of lookup is remembered only when it is a refusal.
func newTokenCache(bytes int, revoked *revocation.Watch, now func() time.Time,
	lookup func(ctx context.Context, token, resource string) (phantom, error),
) *tokenCache {
	// New fails for a size below one alone.
	refused, _ := lru.New[cacheKey, refusedToken](maxRefusals)
	return &tokenCache{active: newTokenStore(bytes), refused: refused, revoked: revoked, now: now, lookup: lookup}
}

// known returns what is remembered of token at resource, if anything: the
// phantom, or a refusal.
func (c *tokenCache) known(token, resource string) (found phantom, known bool, err error) {
	key := cacheKey{sha256.Sum256([]byte(token)), resource}
	now := c.now()
	if t, ok := c.active.get(key); ok && c.good(t, now) {
		return t.phantom, true, nil
	}
	if t, ok := c.refused.Get(key); ok && now.Before(t.until) {
		return phantom{}, true, t.refusal
	}
	return phantom{}, false, nil
}

// wasGood reports whether token was good at resource when it was last asked
// about, and has time left.
func (c *tokenCache) wasGood(token, resource string) bool {
	t, ok := c.active.get(cacheKey{sha256.Sum256([]byte(token)), resource})
	return ok && c.now().Before(t.Expires)
}

// get returns what stands behind token at resource, and whether it was known.
// It waits for the answer even when the client goes away: a request whose
// question is under way counts as long as that is, whatever the client does.
func (c *tokenCache) get(ctx context.Context, token, resource string) (found phantom, cached bool, err error) {
	arrived := c.now()
	if found, cached, err = c.known(token, resource); cached {
		return found, true, err
	}
	key := cacheKey{sha256.Sum256([]byte(token)), resource}
	for {
		// Requests that arrive together ask once. The question outlives a
		// client that goes away, for the sake of the others.
		answer, err, _ := c.flights.Do(string(key.token[:])+resource, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
			defer cancel()
			at, asked := c.now(), c.revoked.Ask()
			found, err := c.lookup(ctx, token, resource)
			c.remember(key, at, activeToken{found, asked}, err)
			return activeToken{found, asked}, err
		})
		t, _ := answer.(activeToken)
		if err == nil && !c.revoked.Holds(t.asked, t.hangs(), arrived) {
			// The token may have been revoked since it was asked about: we
			// joined a slow question too late, or know that something ended.
			continue
		}
		return t.phantom, false, err
	}
}

// good reports whether what is remembered may serve a request.
func (c *tokenCache) good(t activeToken, arrived time.Time) bool {
	return arrived.Before(t.Expires) && c.revoked.Holds(t.asked, t.hangs(), arrived)
}

// remember keeps the answer to a question that was asked at the given time.
func (c *tokenCache) remember(key cacheKey, at time.Time, found activeToken, err error) {
	var refused refusal
	switch {
	case err == nil:
		c.active.add(key, found)
	case errors.As(err, &refused):
		c.active.remove(key)
		c.refused.Add(key, refusedToken{refused, at.Add(refusalTTL)})
	}
}
