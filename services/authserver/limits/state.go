package limits

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// State is what a limiter has counted in the windows that are open.
type State struct {
	PerKey, Total int // what it allows
	Window        time.Duration
	All           int       // counted
	Ends          time.Time // of the window of all; zero when none is open
	Busiest       []Count   // the keys with the most events
}

// Count is what one key did.
type Count struct {
	Key  string
	N    int
	Ends time.Time
}

// State returns the counts, of the busiest keys at most top.
func (l *Limiter) State(top int) State {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	s := State{PerKey: l.perKey, Total: l.total, Window: l.window}
	if now.Before(l.all.ends) {
		s.All, s.Ends = l.all.n, l.all.ends
	}
	for _, key := range l.keys.Keys() {
		if c, ok := l.keys.Peek(key); ok && c.n > 0 && now.Before(c.ends) {
			s.Busiest = append(s.Busiest, Count{key, c.n, c.ends})
		}
	}
	slices.SortFunc(s.Busiest, func(a, b Count) int { return cmp.Or(b.N-a.N, strings.Compare(a.Key, b.Key)) })
	s.Busiest = s.Busiest[:min(len(s.Busiest), top)]
	return s
}
