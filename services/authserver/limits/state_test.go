package limits

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestState: what is shown is what counts, in the windows that are open.
func TestState(t *testing.T) {
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	l := New(2, 5, time.Minute, func() time.Time { return now })
	if diff := cmp.Diff(State{PerKey: 2, Total: 5, Window: time.Minute}, l.State(10)); diff != "" {
		t.Errorf("at first: %s", diff)
	}
	begin := now
	for _, key := range []string{"b", "a", "a", "a", "c"} { // the third of a is refused
		l.Take(key)
	}
	l.Refund("c")
	want := State{
		PerKey: 2, Total: 5, Window: time.Minute, All: 3, Ends: begin.Add(time.Minute),
		Busiest: []Count{{"a", 2, begin.Add(time.Minute)}, {"b", 1, begin.Add(time.Minute)}},
	}
	if diff := cmp.Diff(want, l.State(10)); diff != "" {
		t.Error(diff)
	}
	if got := l.State(1).Busiest; len(got) != 1 || got[0].Key != "a" {
		t.Errorf("the busiest alone: %v", got)
	}
	now = now.Add(time.Minute)
	if got := l.State(10); got.All != 0 || len(got.Busiest) != 0 {
		t.Errorf("when the window has ended: %+v", got)
	}
}
