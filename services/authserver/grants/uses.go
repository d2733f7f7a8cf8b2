package grants

import (
	"context"
	"sync"
	"time"

	"demo.example/services/authserver/store"
)

// When a grant was last used is for people to look at, so it may cost next to
// nothing: introspection notes it in memory, and twice a minute what was noted
// is written in one transaction. (An exchange follows an introspection, and a
// gateway that keeps an answer asks again within a minute.) A process that is
// killed loses half a minute of it.
const (
	noteEvery = 30 * time.Second
	maxUses   = 100_000 // grants in use within noteEvery; of more than these the time is not noted
)

// uses are the last uses that are not in the store yet.
type uses struct {
	mu   sync.Mutex
	last map[string]use // by grant
}

// use is when a grant was last used, by its client.
type use struct {
	at     time.Time
	client string
}

func (u *uses) note(g store.Grant, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.last[g.ID]; known || len(u.last) < maxUses {
		u.last[g.ID] = use{now, g.ClientID}
	}
}

// take returns what was noted, and forgets it.
func (u *uses) take() map[string]use {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.last
	u.last = map[string]use{}
	return taken
}

// at returns when a grant was last used, if that was noted and not written.
func (u *uses) at(grantID string) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last[grantID].at
}

// RecentUses returns when clients were last used, as far as that is not in the
// store yet.
func (s *Service) RecentUses() map[string]time.Time {
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	out := map[string]time.Time{}
	for _, u := range s.uses.last {
		out[u.client] = latest(out[u.client], u.at)
	}
	return out
}

// NoteUses writes what was noted until ctx ends, and then once more.
func (s *Service) NoteUses(ctx context.Context) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.writeUses(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			s.writeUses(ctx)
		}
	}
}

// writeUses writes in pieces, so that nobody waits long for the store.
func (s *Service) writeUses(ctx context.Context) {
	const piece = 500
	part := make(map[string]time.Time, piece)
	write := func() {
		if len(part) == 0 {
			return
		}
		if err := s.Store.NoteUses(ctx, part); err != nil {
			s.Log.WarnContext(ctx, "last uses not noted", "grants", len(part), "error", err.Error())
		}
		clear(part)
	}
	for id, u := range s.uses.take() {
		if part[id] = u.at; len(part) == piece {
			write()
		}
	}
	write()
}
