package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// quotaWindow is what the settings of quotas count in.
const quotaWindow = time.Minute

// maxCounted bounds the keys that one quota counts. One that is forgotten may
// begin anew, so there are more than ever come in a window.
const maxCounted = 50_000

// A quota allows a number of requests in each window, from one key: a user, a
// client, an address. What was used comes back evenly (the generic cell rate
// algorithm, which needs one time for each key), so nobody waits for the end
// of a window.
type quota struct {
	name string
	size int           // requests in a window
	each time.Duration // until one comes back
	now  func() time.Time

	mu   sync.Mutex
	full *simplelru.LRU[string, *time.Time] // when a key will have all of it again
}

func newQuota(name string, size int, now func() time.Time) *quota {
	full, _ := simplelru.NewLRU[string, *time.Time](maxCounted, nil) // fails for a size below one alone
	return &quota{name: name, size: size, each: quotaWindow / time.Duration(size), now: now, full: full}
}

// quotas are those of the protected resources together, and what all routes
// share.
type quotas struct {
	Users   *quota // by the subject of the token
	Clients *quota // by the client that it was issued to
	// Strangers are requests without a usable token, by network. A request
	// whose token is not known yet counts until the token turns out to be
	// good, so that nobody floods the authorization server with made-up ones.
	Strangers *quota

	// Asked are questions about tokens that are not known, at one time.
	Asked *budget
	// Bodies are bytes, on all routes.
	Bodies *budget
}

func newQuotas(cfg settings) quotas {
	return quotas{
		Users:     newQuota("user", cfg.RequestsPerUser, time.Now),
		Clients:   newQuota("client", cfg.RequestsPerClient, time.Now),
		Strangers: newQuota("address", cfg.RefusalsPerIP, time.Now),
		Asked:     newBudget(cfg.UpstreamConcurrency, userAtOnce, errBusy),
		Bodies:    newBudget(bodiesAtOnce, userAtOnce*maxBody, errBodies),
	}
}

// takeToken counts a request with a good token. The balance is of the quota
// that refuses it; else the user's, since that of a client that many use would
// tell each what the others do.
func (q quotas) takeToken(p phantom) balance {
	user := q.Users.take(p.Subject)
	if user.wait > 0 {
		return user
	}
	if client := q.Clients.take(p.ClientID); client.wait > 0 {
		q.Users.giveBack(p.Subject)
		return client
	}
	return user
}

// giveBackToken undoes a takeToken that let the request through.
func (q quotas) giveBackToken(p phantom) {
	q.Users.giveBack(p.Subject)
	q.Clients.giveBack(p.ClientID)
}

// A balance is what a key has left after a request.
type balance struct {
	*quota
	left int
	wait time.Duration // until the request may come again; zero when it was let through
}

// overQuota is a balance that lets a request not through.
type overQuota struct{ balance }

// Error implements error.
func (o overQuota) Error() string { return "too many requests of the " + o.name }

// take counts a request of key, if there is one left.
func (q *quota) take(key string) balance {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	full, ok := q.full.Get(key)
	if !ok {
		full = new(time.Time)
		q.full.Add(key, full)
	}
	after := now
	if full.After(now) {
		after = *full
	}
	after = after.Add(q.each)
	if wait := after.Sub(now) - q.each*time.Duration(q.size); wait > 0 {
		return balance{q, 0, wait}
	}
	*full = after
	return balance{q, q.size - int((after.Sub(now)+q.each-1)/q.each), 0}
}

// giveBack undoes a take that let the request through.
func (q *quota) giveBack(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if full, ok := q.full.Get(key); ok {
		*full = full.Add(-q.each)
	}
}

// announce says in the answer what is allowed and what is left of it
// (draft-ietf-httpapi-ratelimit-headers-10, RateLimit-Policy and RateLimit).
func (b balance) announce(h http.Header) {
	var buf [64]byte
	text := append(buf[:0], '"')
	text = append(append(text, b.name...), `";q=`...)
	text = strconv.AppendInt(text, int64(b.size), 10)
	text = append(text, `;w=60`...) // quotaWindow
	h["Ratelimit-Policy"] = []string{string(text)}
	text = append(append(text[:1], b.name...), `";r=`...)
	text = strconv.AppendInt(text, int64(b.left), 10)
	text = append(text, `;t=`...) // until there is more
	text = strconv.AppendInt(text, int64(seconds(max(b.wait, b.each))), 10)
	h["Ratelimit"] = []string{string(text)}
}

// seconds returns d in whole seconds, rounded up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// network is what the requests of strangers are counted by: the IP address
// that they come from. Whoever has an IPv6 address has 2^64 of them, so there
// it is the network.
func network(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Unmap().Is4() {
		return host
	}
	prefix, _ := addr.WithZone("").Prefix(64) // fails for more bits than there are alone
	return prefix.String()
}
