package revocation

import (
	"strings"
	"sync"
	"time"

	"demo.example/services/internal/token"
)

const (
	// Bound is how long a revoked token can pass at most. An answer that is
	// younger is used even while nothing is heard of the authorization server.
	Bound = time.Second

	// silence is how long nothing has to be heard until the stream is not
	// trusted any more. Whoever revokes was answered after the event was sent,
	// and so before a heartbeat that was heard later; with the 700 ms, the
	// event takes effect within Bound or the trust is gone.
	silence = 700 * time.Millisecond

	// maxEvents bounds what is remembered, some 10 MB. Forgetting an event
	// early costs questions and lets nothing pass.
	maxEvents = 1 << 16

	// slowest is how long a question to the authorization server can take.
	slowest = 10 * time.Second
)

// Watch knows what was revoked lately, and for how long that knowledge has
// been complete. A cache notes when it asks (Ask), and before it uses an answer
// asks whether it holds (Holds). So a revocation does not have to find its way
// into the caches: it is remembered here, for as long as an answer can live,
// and an answer that was asked for before it is not used, whether it was in the
// cache by then or still on its way.
type Watch struct {
	ttl time.Duration
	now func() time.Time

	mu         sync.RWMutex
	connection uint64    // counts the streams
	connected  bool      // the last one has not ended
	heard      time.Time // when a line of it was read
	latest     uint64    // number of the newest event
	forgotten  uint64    // number of the newest event that is not remembered
	recent     []numbered
	numbers    map[Event]uint64 // of the newest event of each
}

type numbered struct {
	Event
	number uint64
	at     time.Time
}

// NewWatch returns a Watch for answers that are used for ttl at most. Nothing
// is trusted for longer than Bound until a Follower is connected.
func NewWatch(ttl time.Duration, now func() time.Time) *Watch {
	return &Watch{ttl: ttl, now: now, numbers: map[Event]uint64{}}
}

// Asked is the moment of a question to the authorization server: what is
// revoked later, the answer may not know.
type Asked struct {
	at                 time.Time
	connection, latest uint64
}

// Ask notes that the authorization server is about to be asked.
func (w *Watch) Ask() Asked {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return Asked{w.now(), w.connection, w.latest}
}

// Subject is what an answer hangs on. When any of it ends, so does the answer.
type Subject struct{ Token, Grant, User, Client string }

// SubjectOf returns what a token hangs on. The jti of an exchanged token begins
// with that of the one that it came of.
func SubjectOf(c token.Claims) Subject {
	origin, _, _ := strings.Cut(c.ID, ".")
	return Subject{Token: origin, Grant: c.GrantID, User: c.Subject, Client: c.ClientID}
}

// Holds reports whether an answer about s may serve a request that arrived at
// a time. Until Bound it may, unless it is known to be revoked. After that it
// takes a stream that was connected before the question and has been heard of
// ever since, and a subject that an event can name.
func (w *Watch) Holds(asked Asked, s Subject, at time.Time) bool {
	age := at.Sub(asked.at)
	if age >= w.ttl {
		return false
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.latest != asked.latest && (asked.latest < w.forgotten || w.endedSince(asked.latest, s)) {
		return false
	}
	if age < Bound {
		return true
	}
	named := s.Token != "" && s.Grant != "" && s.User != "" && s.Client != ""
	return named && asked.connection == w.connection && w.trusted(at)
}

func (w *Watch) endedSince(number uint64, s Subject) bool {
	return w.numbers[Event{Token, s.Token}] > number || w.numbers[Event{Grant, s.Grant}] > number ||
		w.numbers[Event{User, s.User}] > number || w.numbers[Event{Client, s.Client}] > number
}

func (w *Watch) trusted(at time.Time) bool { return w.connected && at.Sub(w.heard) < silence }

// State says for a health check whether revocations arrive: "connected" or
// "lost".
func (w *Watch) State() string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.trusted(w.now()) {
		return "connected"
	}
	return "lost"
}

// Connected notes that a stream began. What ended before was not on it, so no
// answer from before is used for longer than Bound.
func (w *Watch) Connected() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connection++
	w.connected, w.heard = true, w.now()
}

// Lost notes that the stream ended.
func (w *Watch) Lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connected = false
}

// Heard notes that the stream is alive.
func (w *Watch) Heard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = w.now()
}

// Ended notes an event of the stream.
func (w *Watch) Ended(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.heard = now
	w.latest++
	w.numbers[e] = w.latest
	w.recent = append(w.recent, numbered{e, w.latest, now})
	for len(w.recent) > maxEvents || now.Sub(w.recent[0].at) > w.ttl+slowest {
		old := w.recent[0]
		w.recent = w.recent[1:]
		w.forgotten = old.number
		if w.numbers[old.Event] == old.number {
			delete(w.numbers, old.Event)
		}
	}
}
