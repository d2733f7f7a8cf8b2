// Package limits counts what strangers do, and says when it is too much.
//
// Counts are in memory. A flood must cost less to refuse than to send, so
// refusing writes nothing; and nothing depends on a count for longer than its
// window, so a restart may forget it. What has to be bounded over restarts
// (rows, passcodes) is bounded in the store.
package limits

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2"
)

// Limiter allows a number of events in each window of time: from one key, and
// in all. A window begins with its first event.
type Limiter struct {
	perKey, total int
	window        time.Duration
	now           func() time.Time

	mu   sync.Mutex
	all  count
	keys *lru.Cache[string, *count]
}

type count struct {
	n    int
	ends time.Time
}

// maxKeys bounds the keys that are counted. An attacker with more addresses
// than this meets the limit in all long before.
const maxKeys = 10_000

// New returns a limiter. now is the clock.
func New(perKey, total int, window time.Duration, now func() time.Time) *Limiter {
	keys, err := lru.New[string, *count](maxKeys)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &Limiter{perKey: perKey, total: total, window: window, now: now, keys: keys}
}

// Take counts an event of a key. Above a limit it counts nothing and returns
// how long to wait; otherwise it returns zero.
func (l *Limiter) Take(key string) time.Duration { return l.TakeN(key, 1) }

// TakeN counts an event that is worth n.
func (l *Limiter) TakeN(key string, n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	mine, ok := l.keys.Get(key)
	if !ok {
		mine = &count{}
		l.keys.Add(key, mine)
	}
	for _, c := range []*count{mine, &l.all} {
		if !now.Before(c.ends) {
			*c = count{ends: now.Add(l.window)}
		}
	}
	switch {
	case mine.n+n > l.perKey:
		return mine.ends.Sub(now)
	case l.all.n+n > l.total:
		return l.all.ends.Sub(now)
	}
	mine.n += n
	l.all.n += n
	return 0
}

// Refund takes back an event that turned out to be none to be counted.
func (l *Limiter) Refund(key string) { l.RefundN(key, 1) }

// RefundN takes back an event that was worth n.
func (l *Limiter) RefundN(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if mine, ok := l.keys.Get(key); ok {
		mine.n = max(0, mine.n-n)
	}
	l.all.n = max(0, l.all.n-n)
}

// Network is what an IP address is counted as. Whoever has an IPv6 address has
// 2^64 of them, so the network counts and not the address.
func Network(ip string) string { return within(ip, 32, 64) }

// Site is a wider Network: as much as one line or one server is rented with,
// and somewhat more. Whoever has an IPv6 site has 2^16 networks.
func Site(ip string) string { return within(ip, 24, 48) }

// within returns the network of an address with so many bits.
func within(ip string, bits4, bits6 int) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	bits := bits6
	if addr = addr.WithZone("").Unmap(); addr.Is4() {
		bits = bits4
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return ip
	}
	if network.IsSingleIP() {
		return ip
	}
	return network.String()
}
