package gateway

import (
	"math"
	"sync"
	"time"
	"unique"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"demo.example/services/internal/revocation"
)

// tokenStore holds what stands behind the tokens in use, within a number of
// bytes: the one that was not used for longest makes room. Whether an entry
// may still be used is for tokenCache to judge.
//
// It is in parts with a lock each, so that requests on many processors do not
// wait for one another. Tokens are spread by their hash.
type tokenStore [storeParts]storePart

const storeParts = 16 // a power of two

type storePart struct {
	mu      sync.Mutex
	limit   int // bytes
	used    int
	entries *simplelru.LRU[cacheKey, record]
}

// newTokenStore returns a store for the given number of bytes.
func newTokenStore(bytes int) *tokenStore {
	s := new(tokenStore)
	for i := range s {
		p := &s[i]
		p.limit = bytes / storeParts
		// NewLRU fails for a size below one alone. Bytes are counted here.
		p.entries, _ = simplelru.NewLRU(math.MaxInt, func(_ cacheKey, r record) { p.used -= r.size() })
	}
	return s
}

func (s *tokenStore) part(key cacheKey) *storePart { return &s[key.token[0]%storeParts] }

// get returns the entry of a token, and marks it as used.
func (s *tokenStore) get(key cacheKey) (activeToken, bool) {
	p := s.part(key)
	p.mu.Lock()
	r, ok := p.entries.Get(key)
	p.mu.Unlock()
	if !ok {
		return activeToken{}, false
	}
	return r.unpack(), true
}

// add stores an entry in place of an older one.
func (s *tokenStore) add(key cacheKey, t activeToken) {
	r := pack(t)
	p := s.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries.Remove(key)
	p.entries.Add(key, r)
	for p.used += r.size(); p.used > p.limit; {
		p.entries.RemoveOldest()
	}
}

// remove forgets a token.
func (s *tokenStore) remove(key cacheKey) {
	p := s.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries.Remove(key)
}

// A record is an activeToken in little memory: most of one is the JWT, and
// there may be a million. What is different for each token is one string,
// what many tokens share is there once for all of them.
type record struct {
	text          string    // the JWT and, in this order, subject, grant, token id and key
	ends          [4]uint16 // in text, of all but the last
	client, scope unique.Handle[string]
	expires       int64 // nanoseconds since 1970
	asked         revocation.Asked
}

// recordOverhead is what an entry takes beside its text: the record, its key,
// its places in the list and in the map, in bytes. A test measures it.
const recordOverhead = 332

// size is what the entry takes, in bytes. The allocator rounds up.
func (r record) size() int { return len(r.text) + len(r.text)/8 + recordOverhead }

func pack(t activeToken) record {
	r := record{
		text:   t.JWT + t.Subject + t.GrantID + t.TokenID + t.Key,
		client: unique.Make(t.ClientID), scope: unique.Make(t.Scope),
		expires: t.Expires.UnixNano(), asked: t.asked,
	}
	end := 0
	for i, part := range [...]string{t.JWT, t.Subject, t.GrantID, t.TokenID} {
		end += len(part) // the JWT, with all of the others inside, is at most maxIntrospection long
		r.ends[i] = uint16(end)
	}
	return r
}

// unpack copies no text.
func (r record) unpack() activeToken {
	return activeToken{
		phantom: phantom{
			JWT:      r.text[:r.ends[0]],
			Subject:  r.text[r.ends[0]:r.ends[1]],
			GrantID:  r.text[r.ends[1]:r.ends[2]],
			TokenID:  r.text[r.ends[2]:r.ends[3]],
			Key:      r.text[r.ends[3]:],
			ClientID: r.client.Value(),
			Scope:    r.scope.Value(),
			Expires:  time.Unix(0, r.expires),
		},
		asked: r.asked,
	}
}
