package dpop

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// errReplayed is a proof that was here before.
var errReplayed = errors.New("replayed")

// maxReplays is how many proofs are remembered for each span of keepProofs:
// some 8,000 a second, which is more than one process serves. That many take
// about 40 MB, and there are two generations.
const maxReplays = 1 << 20

// keepProofs is the longest that a proof can be used: from when it is a whole
// Window ahead of our clock until it is one behind.
const keepProofs = 2 * Window

// replays remembers which proofs were used, by what makes one the same as
// another (RFC 9449 §11.1): key, jti and address. When there is no room left
// it refuses: to forget a proof would be to let it pass again.
//
// It is the memory of one process. A captured proof could be used once more
// at each replica, for as long as its iat and nonce allow, by somebody who has
// the access token as well and for the one method and address.
type replays struct {
	mu       sync.Mutex
	capacity int
	begun    time.Time // when recent was
	// Two generations: one that is full of time is dropped at once, instead
	// of looking for what expired in it.
	recent, older map[[16]byte]struct{}
}

func newReplays(capacity int) *replays {
	return &replays{capacity: capacity, recent: map[[16]byte]struct{}{}}
}

// add remembers a proof for keepProofs at least. Of any number of callers with
// the same proof one succeeds; the others get errReplayed. ErrFull says that
// there is no room.
func (r *replays) add(key, id, url string, now time.Time) error {
	sum := sha256.Sum256([]byte(key + "\x00" + url + "\x00" + id)) // a thumbprint has no NUL, and neither has a URL
	entry := [16]byte(sum[:16])
	r.mu.Lock()
	defer r.mu.Unlock()
	switch age := now.Sub(r.begun); {
	case age >= 2*keepProofs:
		r.recent, r.older, r.begun = map[[16]byte]struct{}{}, nil, now
	case age >= keepProofs:
		r.recent, r.older, r.begun = map[[16]byte]struct{}{}, r.recent, now
	}
	_, isRecent := r.recent[entry]
	_, isOlder := r.older[entry]
	switch {
	case isRecent || isOlder:
		return errReplayed
	case len(r.recent) >= r.capacity:
		return ErrFull
	}
	r.recent[entry] = struct{}{}
	return nil
}
