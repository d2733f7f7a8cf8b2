package audit

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A quota is how many events may be recorded at once, and how many a second
// from then on.
type quota struct{ atOnce, perSecond float64 }

// Quotas of events that somebody can cause as often as they like: they must not
// push out of the trail what matters. A flood of any takes days, not hours, to
// fill AUDIT_MAX_EVENTS.
var (
	strangers = quota{1000, 1}
	// One user: more than people do, and an agent in a burst of work.
	perUser = quota{600, 1}
	// Refusals of all users together, as in an outage.
	allRefusals = quota{1000, 20}
)

// maxUsers bounds the users who are counted. One who is forgotten may begin
// anew, so there are more than are busy in ten minutes, by which time a user
// has all of the quota again.
const maxUsers = 1 << 14

// Quotas says which events are recorded. Each of these has a quota of its own:
//   - what strangers are refused, and what any stranger may do;
//   - what one user is refused, of which that of all users has one as well,
//     such as of a client that goes on above its limits;
//   - what one user reads, by tools and at the API.
//
// What else is allowed to a user is always recorded: it changes something, or
// the authorization server has limits of its own for it (on refreshing, on
// forms). The zero value is ready.
type Quotas struct {
	mu                        sync.Mutex
	refused, allowed, refusal bucket
	users                     *simplelru.LRU[userQuota, *bucket]
}

// userQuota names one of the quotas of a user, or of a grant that names none.
type userQuota struct {
	user  string
	reads bool
}

// Take reports whether an event may be recorded.
func (q *Quotas) Take(e Event, now time.Time) bool {
	user := e.User
	if user == "" {
		user = e.Grant
	}
	isAllowed := e.Decision == Allowed
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case user == "" && isAllowed:
		return q.allowed.take(strangers, now)
	case user == "":
		return q.refused.take(strangers, now)
	case isAllowed && (e.Writes || e.Kind != ToolCall && e.Kind != APIDecision):
		return true
	case isAllowed:
		return q.of(user, true).take(perUser, now)
	}
	return q.of(user, false).take(perUser, now) && q.refusal.take(allRefusals, now)
}

// of returns the bucket of a user, a full one where there is none.
func (q *Quotas) of(user string, reads bool) *bucket {
	if q.users == nil {
		q.users, _ = simplelru.NewLRU[userQuota, *bucket](2*maxUsers, nil) // fails for a size below one alone
	}
	key := userQuota{user, reads}
	b, ok := q.users.Get(key)
	if !ok {
		b = new(bucket)
		q.users.Add(key, b)
	}
	return b
}

// bucket is what is left of a quota. The zero value is all of it.
type bucket struct {
	left float64
	at   time.Time
}

func (b *bucket) take(q quota, now time.Time) bool {
	if b.at.IsZero() {
		b.left = q.atOnce
	} else {
		b.left = min(q.atOnce, b.left+now.Sub(b.at).Seconds()*q.perSecond)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
