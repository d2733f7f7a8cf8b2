package grants

import (
	"testing"
	"time"
)

// TestIDs: names sort by time, and two of one moment differ.
func TestIDs(t *testing.T) {
	at := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	last := newID(at)
	for range 1000 {
		at = at.Add(time.Millisecond)
		if id := newID(at); id <= last || id == newID(at) || len(id) != len(last) {
			t.Fatalf("%s follows %s", id, last)
		} else {
			last = id
		}
	}
}
