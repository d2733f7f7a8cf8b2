// Package broadcast passes on what ended to everybody who listens.
package broadcast

import (
	"errors"
	"sync"

	"demo.example/services/internal/revocation"
)

// buffered is how many events may wait for one subscriber. Revocations come
// one by one; whoever is this far behind does not read at all.
const buffered = 1024

// ErrClosed says that there is no room for another subscriber, or that the
// server is about to stop.
var ErrClosed = errors.New("no more subscribers")

// Hub has the subscribers. It never waits for one.
type Hub struct {
	max int

	mu     sync.Mutex
	subs   map[*Subscription]bool
	closed bool
}

// New returns a hub for at most max subscribers at a time.
func New(max int) *Hub { return &Hub{max: max, subs: map[*Subscription]bool{}} }

// Subscription is what one subscriber has to do with the hub.
type Subscription struct {
	Events <-chan revocation.Event
	// Over is closed when the subscription is: because the subscriber did not
	// keep up, or the server stops. There are no events any more then, since
	// those that wait are not all there were.
	Over <-chan struct{}

	events chan revocation.Event
	over   chan struct{}
	hub    *Hub
}

// Subscribe returns a subscription to all that is published from now on. The
// caller closes it.
func (h *Hub) Subscribe() (*Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.subs) >= h.max {
		return nil, ErrClosed
	}
	s := &Subscription{events: make(chan revocation.Event, buffered), over: make(chan struct{}), hub: h}
	s.Events, s.Over = s.events, s.over
	h.subs[s] = true
	return s, nil
}

// Publish passes an event on. When it returns, every subscription has it or is
// over.
func (h *Hub) Publish(e revocation.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		select {
		case s.events <- e:
		default:
			h.end(s)
		}
	}
}

// Close ends every subscription, and takes no more.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.subs {
		h.end(s)
	}
}

// Close ends the subscription. Closing it again is fine.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.subs[s] {
		s.hub.end(s)
	}
}

func (h *Hub) end(s *Subscription) {
	delete(h.subs, s)
	close(s.over)
	for len(s.events) > 0 { // nobody adds to them now, and the subscriber may take one at the same time
		select {
		case <-s.events:
		default:
		}
	}
}
