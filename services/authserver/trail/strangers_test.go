package trail

import (
	"strconv"
	"testing"

	"demo.example/services/internal/audit"
)

// TestFloodOfStrangers: what anybody can cause pushes nothing out of the
// server's own trail. That some of it is not kept the trail says itself, and
// what is allowed to a user is kept all the same.
func TestFloodOfStrangers(t *testing.T) {
	trail, cfg := newTrail(t)
	const flood = 5000
	for range flood {
		trail.Record(t.Context(), audit.Event{Kind: audit.ClientRefused, Decision: audit.Refused, Client: "claimed"})
	}
	trail.Record(t.Context(), audit.Event{Kind: audit.SignIn, Decision: audit.Allowed, User: "user-1"})
	trail.Flush()
	kept, err := trail.Search(t.Context(), Filter{Kind: audit.SignIn})
	if err != nil || len(kept) != 1 {
		t.Errorf("sign-ins: %+v, %v", kept, err)
	}
	lost, err := trail.Search(t.Context(), Filter{Kind: audit.Lost})
	if err != nil || len(lost) == 0 {
		t.Fatalf("the trail does not say what was lost: %v", err)
	}
	sum := 0
	for _, e := range lost {
		n, err := strconv.Atoi(e.Detail["events"])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	report, err := Verify(t.Context(), cfg, "")
	if written := int(report.Events) - len(kept) - len(lost); err != nil || written >= flood || written+sum != flood {
		t.Errorf("of %d events %d are in the trail and %d are lost, %v", flood, written, sum, err)
	}
}
