package audit

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestQuotas: what somebody can cause as often as they like is recorded at a
// rate that no flood raises, and no flood of one kind, or of one user, takes the
// place of another. What changes something is always recorded.
func TestQuotas(t *testing.T) {
	var q Quotas
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	const flood = 5000
	const always = flood
	// One after another, none takes of another's quota but where it says so.
	tests := []struct {
		name  string
		event Event
		want  [3]int // recorded of a flood, of one ten seconds later, and of one the day after
	}{
		{"a stranger is refused", Event{Decision: Refused, Client: "claimed"}, [3]int{1000, 10, 1000}},
		{"what strangers may do", Event{Decision: Allowed, Kind: ClientChanged}, [3]int{1000, 10, 1000}},
		{"a user calls a tool", Event{Decision: Allowed, Kind: ToolCall, User: "user-1", Grant: "grant-1"}, [3]int{600, 10, 600}},
		{"with another grant, at the API", Event{Decision: Allowed, Kind: APIDecision, User: "user-1", Grant: "grant-2"}, [3]int{0, 0, 0}},
		{"another user calls a tool", Event{Decision: Allowed, Kind: ToolCall, User: "user-2"}, [3]int{600, 10, 600}},
		{"a user is refused", Event{Decision: Refused, Kind: Access, User: "user-1"}, [3]int{600, 10, 600}},
		{"a user's call fails", Event{Decision: Failed, Kind: ToolCall, User: "user-1"}, [3]int{0, 0, 0}},
		{"a grant is refused", Event{Decision: Refused, Kind: TokenReused, Grant: "grant-3"}, [3]int{400, 10, 400}}, // what all have left
		{"an order", Event{Decision: Allowed, Kind: APIDecision, User: "user-1", Writes: true}, [3]int{always, always, always}},
		{"a tool places it", Event{Decision: Allowed, Kind: ToolCall, User: "user-1", Writes: true}, [3]int{always, always, always}},
		{"a user consents", Event{Decision: Allowed, Kind: Consent, User: "user-1"}, [3]int{always, always, always}},
	}
	for i, later := range []time.Duration{0, 10 * time.Second, 24 * time.Hour} {
		now = now.Add(later)
		for _, tt := range tests {
			got := 0
			for range flood {
				if q.Take(tt.event, now) {
					got++
				}
			}
			if got != tt.want[i] {
				t.Errorf("%s, %v later: %d recorded, want %d", tt.name, later, got, tt.want[i])
			}
		}
	}
}

// TestRefusalsOfAll: in an outage all users together do not fill the trail.
func TestRefusalsOfAll(t *testing.T) {
	var q Quotas
	now, got := time.Now(), 0
	for i := range 5000 {
		if q.Take(Event{Decision: Failed, Kind: ToolCall, User: fmt.Sprint(i)}, now) {
			got++
		}
	}
	if got != 1000 {
		t.Errorf("%d recorded", got)
	}
}

// TestManyUsers: however many users there are, counting them takes a bounded
// amount of memory.
func TestManyUsers(t *testing.T) {
	inUse := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var q Quotas
	before := inUse()
	name := strings.Repeat("x", 40)
	for i := range 4 * maxUsers {
		for _, d := range []Decision{Allowed, Refused} {
			q.Take(Event{Decision: d, Kind: ToolCall, User: fmt.Sprint(name, i)}, time.Now())
		}
	}
	if n := q.users.Len(); n != 2*maxUsers {
		t.Errorf("%d are counted", n)
	}
	if took := inUse() - before; took > 12<<20 {
		t.Errorf("%d users take %d bytes", maxUsers, took)
	} else {
		t.Logf("%d users take %d kB", maxUsers, took>>10)
	}
	runtime.KeepAlive(&q)
}
