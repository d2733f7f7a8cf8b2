package limits_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"demo.example/services/authserver/limits"
)

func TestLimiter(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := limits.New(2, 3, time.Hour, func() time.Time { return now })
	steps := []struct {
		key    string
		refund bool
		pass   time.Duration // time that passes before
		want   time.Duration
	}{
		{key: "a"},
		{key: "a", pass: 10 * time.Minute},
		{key: "a", want: 50 * time.Minute}, // of its own
		{key: "b"},
		{key: "c", want: 50 * time.Minute}, // in all
		{key: "b", refund: true},
		{key: "c"},
		{key: "b", want: 50 * time.Minute},
		{key: "a", pass: 50 * time.Minute}, // a new window
	}
	for i, s := range steps {
		now = now.Add(s.pass)
		if s.refund {
			l.Refund(s.key)
			continue
		}
		if got := l.Take(s.key); got != s.want {
			t.Errorf("step %d: wait %v, want %v", i, got, s.want)
		}
	}
}

func TestLimiterInParallel(t *testing.T) {
	l := limits.New(10, 50, time.Hour, time.Now)
	var passed atomic.Int32
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			if l.Take(fmt.Sprint(i%10)) == 0 {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if got := passed.Load(); got != 50 {
		t.Errorf("%d passed, want 50", got)
	}
}

func TestNetwork(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "::ffff:192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "": "", "nonsense": "nonsense",
	} {
		if got := limits.Network(ip); got != want {
			t.Errorf("Network(%q) = %q, want %q", ip, got, want)
		}
	}
}

func TestSite(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1": "192.0.2.0/24", "::ffff:192.0.2.1": "192.0.2.0/24", "2001:db8:7:ff::1": "2001:db8:7::/48", "fe80::1%eth0": "fe80::/48", "": "", "x": "x",
	} {
		if got := limits.Site(ip); got != want {
			t.Errorf("Site(%q) = %q, want %q", ip, got, want)
		}
	}
}

// TestTakeN: an event may be worth more than what is left.
func TestTakeN(t *testing.T) {
	l := limits.New(10, 12, time.Hour, time.Now)
	for i, s := range []struct {
		key    string
		n      int
		passes bool
	}{{"a", 11, false}, {"a", 10, true}, {"a", 1, false}, {"b", 3, false}, {"b", 2, true}} {
		if got := l.TakeN(s.key, s.n) == 0; got != s.passes {
			t.Errorf("step %d: %v", i, got)
		}
	}
	if l.RefundN("a", 10); l.TakeN("b", 8) != 0 {
		t.Error("what was taken back counts")
	}
}
