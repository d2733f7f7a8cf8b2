package gateway

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"demo.example/services/internal/httpserver"
)

const (
	stateTTL     = 2 * time.Second        // for how long an answer is shown: visitors cost the services nothing
	stateTimeout = 500 * time.Millisecond // a service that takes longer is not well
)

// states ask the services how they are, for the start page. They are asked at
// most every two seconds, however many look.
type states struct {
	services []watched
	client   *http.Client
	now      func() time.Time

	mu    sync.Mutex
	asked time.Time
	last  []state
}

// watched is a service that is asked.
type watched struct {
	name   string // for people
	health string // URL
}

// A state is what the start page says of a service: nothing that an outsider
// could not find out by using it.
type state struct {
	Name string
	OK   bool
	Text string
}

// newStates asks the services behind the routes.
func newStates(all []route, transport http.RoundTripper, now func() time.Time) *states {
	s := &states{now: now, client: httpserver.NewClient(transport)}
	seen := map[string]bool{}
	for _, rt := range all {
		health := healthOf(rt.Upstream)
		if !seen[health] { // a service may have several hosts
			s.services = append(s.services, watched{rt.Service, health})
		}
		seen[health] = true
	}
	return s
}

func healthOf(upstream url.URL) string { return upstream.JoinPath("healthz").String() }

// current returns the state of each service, in the order of the routes. Those
// who ask at the same time wait for the same answers.
func (s *states) current(ctx context.Context) []state {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && s.now().Sub(s.asked) < stateTTL {
		return s.last
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout) // the visitor may leave, the answer is for the next one as well
	defer cancel()
	found := make([]state, len(s.services))
	var asking sync.WaitGroup
	for i, service := range s.services {
		asking.Go(func() { found[i] = s.ask(ctx, service) })
	}
	asking.Wait()
	s.asked, s.last = s.now(), found
	return found
}

func (s *states) ask(ctx context.Context, service watched) state {
	down := state{Name: service.name, Text: "does not answer"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, service.health, nil)
	if err != nil {
		return down
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return down
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)) // so that the connection can be used again
	if resp.StatusCode != http.StatusOK {
		return state{Name: service.name, Text: "answers that it cannot work"}
	}
	return state{Name: service.name, OK: true, Text: "runs"}
}
