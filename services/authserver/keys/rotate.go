package keys

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// A key goes through three states, all of which follow from when it and the
// one after it were made, so that nothing but that is stored:
//
//   - published: in the JWKS, so that verifiers learn of it, and not used yet;
//   - signing, from PublishAhead after it was made until its successor signs;
//   - kept in the JWKS until the last token that it signed has expired; then
//     it is deleted, and whatever it signs from then on is worth nothing.
//
// The first key of all signs at once: there is nobody who could have cached
// anything else.
const (
	// CacheFor is how long a verifier may keep the JWKS. It is the max-age of
	// the answer, and what our own verifiers do (internal/token/keys.go).
	CacheFor = 5 * time.Minute

	// PublishAhead is how long a key is published before it signs. A copy of
	// the JWKS without it was fetched, at the latest, pollEvery after it was
	// made, and has to be fetched anew CacheFor later. Twice that time also
	// covers a clock that is wrong and a fetch that failed.
	PublishAhead = 2 * CacheFor

	// pollEvery is how often a running server looks for keys that another
	// process made, such as `authserver rotate-keys`.
	pollEvery = 5 * time.Second
)

// MinLifetime is the shortest time for which a key may sign: with less, keys
// would be made faster than they can be published.
const MinLifetime = 2 * PublishAhead

// signing returns the key that signs now: the newest that was published for
// long enough.
func (s *keySet) signing(now time.Time) *key { return s.keys[s.signingIndex(now)] }

func (s *keySet) signingIndex(now time.Time) int {
	for i := len(s.keys) - 1; i > 0; i-- {
		if !now.Before(s.keys[i].created.Add(PublishAhead)) {
			return i
		}
	}
	return 0
}

// Rotate makes a new key, unless there is one already that waits for its
// time, and returns when it begins to sign. It is seen at once in this
// process, and after pollEvery in others.
func (r *Ring) Rotate(ctx context.Context) (signsFrom time.Time, err error) {
	now, set := r.cfg.Now(), r.current.Load()
	first := len(set.keys) == 0
	if last := len(set.keys) - 1; !first && set.signingIndex(now) < last {
		return set.keys[last].created.Add(PublishAhead), nil
	}
	k, err := create(r.box, now)
	if err != nil {
		return now, fmt.Errorf("new signing key: %w", err)
	}
	if err := r.cfg.Store.AddKey(ctx, k); err != nil {
		return now, fmt.Errorf("new signing key: %w", err)
	}
	if err := r.reload(ctx); err != nil || first {
		return now, err
	}
	return now.Add(PublishAhead), nil
}

// Run keeps the ring up to date until ctx ends. When the store is out of
// reach, the keys that are known go on signing.
func (r *Ring) Run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := r.maintain(ctx, log); err != nil && ctx.Err() == nil {
			log.Error("signing keys not looked after", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// maintain learns of new keys, makes one when that is due, and deletes those
// that nothing needs any more.
func (r *Ring) maintain(ctx context.Context, log *slog.Logger) error {
	if err := r.reload(ctx); err != nil {
		return err
	}
	now, set := r.cfg.Now(), r.current.Load()
	if newest := set.keys[len(set.keys)-1]; !now.Before(newest.created.Add(r.cfg.Lifetime)) {
		signsFrom, err := r.Rotate(ctx)
		if err != nil {
			return err
		}
		log.Info("new signing key on schedule", "signs_from", signsFrom)
	}
	for i, k := range set.keys[:set.signingIndex(now)] {
		if now.Before(r.neededTo(set, i)) {
			continue
		}
		if err := r.cfg.Store.DeleteKey(ctx, k.id); err != nil {
			return fmt.Errorf("delete signing key: %w", err)
		}
		log.Info("signing key deleted: all that it signed has expired", "kid", k.id)
	}
	return nil // what was deleted is forgotten at the next look
}
