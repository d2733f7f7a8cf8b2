package gateway

import (
	"net/http"
	"sync"
)

// A budget is what there is of something that requests hold for a while, such
// as places at a service. Nobody may hold all of it: a client may hold half,
// since it has many users, and so may all who come without a token; one network
// of theirs may hold a quarter, a user as much as is said.
type budget struct {
	most  [kinds]int // that one of each kind may hold
	spent error      // when there is not enough left

	mu   sync.Mutex
	left int
	held map[holder]int
}

func newBudget(all, ofUser int, spent error) *budget {
	part := func(n int) int { return max(1, all/n) }
	return &budget{
		most:  [kinds]int{ofOneUser: min(ofUser, part(4)), ofOneClient: part(2), ofOneNetwork: part(4), ofStrangers: part(2)},
		spent: spent, left: all, held: map[holder]int{},
	}
}

// A holder is one whom a request counts for.
type holder struct {
	kind kind
	name string
}

type kind uint8

const (
	nobody kind = iota // what the gateway asks for itself counts for all alone
	ofOneUser
	ofOneClient
	ofOneNetwork
	ofStrangers
	kinds
)

// overShare is a request of somebody who holds as much as one may.
type overShare kind

// Error implements error.
func (o overShare) Error() string { return "too many requests at a time of the " + o.of() }

func (o overShare) of() string {
	return [kinds]string{ofOneUser: "user", ofOneClient: "client", ofOneNetwork: "address"}[o]
}

// holders returns whom r counts for: the user and the client of its token, or
// the network that it comes from without one and all others without one.
func holders(r *http.Request) [2]holder {
	if p, ok := phantomOf(r.Context()); ok {
		return [2]holder{{ofOneUser, p.Subject}, {ofOneClient, p.ClientID}}
	}
	if r.RemoteAddr == "" { // made here
		return [2]holder{}
	}
	return stranger(network(r))
}

func stranger(network string) [2]holder {
	return [2]holder{{ofOneNetwork, network}, {kind: ofStrangers}}
}

// take takes n for the holders, until giveBack. The error is an overShare, or
// says that all is spent that they could have.
func (b *budget) take(n int, of [2]holder) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range of {
		switch {
		case h.kind == nobody || b.held[h]+n <= b.most[h.kind]:
		case h.kind == ofStrangers:
			return b.spent
		default:
			return overShare(h.kind)
		}
	}
	if n > b.left {
		return b.spent
	}
	b.add(n, of)
	return nil
}

// giveBack undoes a take, or a part of it.
func (b *budget) giveBack(n int, of [2]holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(-n, of)
}

func (b *budget) add(n int, of [2]holder) {
	b.left -= n
	for _, h := range of {
		if h.kind == nobody {
			continue
		}
		if b.held[h] += n; b.held[h] == 0 {
			delete(b.held, h)
		}
	}
}
