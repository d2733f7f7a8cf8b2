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
