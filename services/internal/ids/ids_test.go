package ids

import (
	"testing"
	"time"
)

// TestNew: names sort by time, and two of one moment differ.
func TestNew(t *testing.T) {
	at := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	last := New(at)
	for range 1000 {
		at = at.Add(time.Millisecond)
		if id := New(at); id <= last || id == New(at) || len(id) != len(last) {
			t.Fatalf("%s follows %s", id, last)
		} else {
			last = id
		}
	}
}
