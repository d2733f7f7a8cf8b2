package token

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Of the tokens that were verified, so many are remembered, for so long: a
// user's calls come in bursts, and checking a signature costs more than the
// rest of a small request.
const (
	maxRemembered = 4096
	rememberFor   = time.Minute
)

// remembered is a token whose signature was checked. Only that is left out the
// next time: the key has to be in the verifier's key set still. So the tokens of
// a retired key are refused as soon as the set was fetched without it, which
// refreshAfter sees to.
type remembered struct {
	claims Claims
	kid    string
	key    *ecdsa.PublicKey
	until  time.Time // at most the token's end
}

// memory holds tokens by their hash, so that the memory of the process has no
// list of usable ones.
type memory struct {
	tokens *lru.Cache[[sha256.Size]byte, remembered]
}

func newMemory() memory {
	tokens, err := lru.New[[sha256.Size]byte, remembered](maxRemembered)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return memory{tokens}
}

func (m memory) get(raw string, now time.Time) (remembered, bool) {
	hash := sha256.Sum256([]byte(raw))
	known, ok := m.tokens.Get(hash)
	if ok && !now.Before(known.until) {
		m.tokens.Remove(hash)
		return remembered{}, false
	}
	return known, ok
}

// add remembers a token that was verified now.
func (m memory) add(raw string, claims Claims, kid string, key *ecdsa.PublicKey, now time.Time) {
	until := now.Add(rememberFor)
	if end := claims.ExpiresAt.Time; end.Before(until) {
		until = end
	}
	m.tokens.Add(sha256.Sum256([]byte(raw)), remembered{claims, kid, key, until})
}
