package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"demo.example/services/internal/token"
)

// ErrInUse is a key that signs, or is about to.
var ErrInUse = errors.New("the key signs, or is about to")

// ErrNoKey is a key that there is not.
var ErrNoKey = errors.New("there is no such key")

// State is what a key is for.
type State string

// States of a key, in their order.
const (
	Waiting State = "waiting" // published, until it signs
	Signing State = "signing"
	Kept    State = "kept" // published, until the last token that it signed has expired
)

// Info is what is known of a key.
type Info struct {
	ID        string
	State     State
	CreatedAt time.Time
	SignsFrom time.Time
	SignsTo   time.Time // zero while nothing follows it
	NeededTo  time.Time // when the last token that it signed has expired; zero while it signs
}

// List returns the keys, the newest first.
func (r *Ring) List() []Info {
	now, set := r.cfg.Now(), r.current.Load()
	signing := set.signingIndex(now)
	var out []Info
	for i, k := range set.keys {
		info := Info{ID: k.id, CreatedAt: k.created, SignsFrom: k.created, State: Signing}
		if i > 0 {
			info.SignsFrom = k.created.Add(PublishAhead)
		}
		switch {
		case i > signing:
			info.State = Waiting
		case i < signing:
			info.State = Kept
			info.NeededTo = r.neededTo(set, i)
		}
		if i+1 < len(set.keys) {
			info.SignsTo = set.keys[i+1].created.Add(PublishAhead)
		}
		out = append(out, info)
	}
	slices.Reverse(out)
	return out
}

// neededTo is when the last token has expired that a key signed which another
// has followed. From then on the successor signed, give or take a look at the
// store.
func (r *Ring) neededTo(set *keySet, i int) time.Time {
	return set.keys[i+1].created.Add(PublishAhead + pollEvery).Add(r.cfg.TokenLifetime + token.Leeway)
}

// Retire deletes a key before its time, as one does that may have been stolen:
// whatever it signed is worth nothing as soon as verifiers have read the JWKS
// again, which takes CacheFor. The key that signs is followed by another first
// (Rotate); until then it is ErrInUse.
func (r *Ring) Retire(ctx context.Context, id string) error {
	if err := r.reload(ctx); err != nil {
		return err
	}
	keys := r.List()
	i := slices.IndexFunc(keys, func(k Info) bool { return k.ID == id })
	switch {
	case i < 0:
		return ErrNoKey
	case keys[i].State != Kept:
		return ErrInUse
	}
	if err := r.cfg.Store.DeleteKey(ctx, id); err != nil {
		return fmt.Errorf("delete signing key: %w", err)
	}
	return r.reload(ctx)
}
