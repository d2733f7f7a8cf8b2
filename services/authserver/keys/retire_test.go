package keys

import (
	"errors"
	"testing"
	"time"
)

// TestRetire: of three keys, the one that signs and the one that waits stay.
func TestRetire(t *testing.T) {
	now := time.Now()
	r, err := Load(t.Context(), Config{Store: &memory{}, Secret: kek, Lifetime: time.Hour, TokenLifetime: time.Minute, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second waits when the first has followed
		if _, err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(PublishAhead)
	}
	now = now.Add(-time.Second)
	list := r.List()
	var states []State
	for _, k := range list {
		states = append(states, k.State)
	}
	if len(list) != 3 || states[0] != Waiting || states[1] != Signing || states[2] != Kept {
		t.Fatalf("%v", states)
	}
	if list[2].NeededTo.Before(list[1].SignsFrom.Add(time.Minute)) || !list[2].SignsTo.Equal(list[1].SignsFrom) || !list[1].NeededTo.IsZero() {
		t.Errorf("%+v", list)
	}
	for id, want := range map[string]error{list[0].ID: ErrInUse, list[1].ID: ErrInUse, "none": ErrNoKey} {
		if err := r.Retire(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
	if err := r.Retire(t.Context(), list[2].ID); err != nil || len(r.List()) != 2 {
		t.Errorf("%v, %d keys are left", err, len(r.List()))
	}
}
