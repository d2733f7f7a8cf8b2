package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/deployment"
	"demo.example/e2e/person"
)

// bound is within what time a revoked token has to stop working at the gateway.
const bound = time.Second

// stopwatch measures how long revoked tokens pass. It sends on connections of
// its own, which no test looks at: there are thousands of requests.
type stopwatch struct {
	*deployment.Deployment

	mu     sync.Mutex
	passed []time.Duration // how long after the answer to the revocation the last request was sent that passed
}

func newStopwatch(t *testing.T) *stopwatch {
	t.Helper()
	d, err := deployment.Connect(*demo.Deployment)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Hangup)
	return &stopwatch{Deployment: d}
}

// call returns how the gateway answers a request with the token. Whoever is
// told to slow down does.
func (s *stopwatch) call(ctx context.Context, token string) (int, error) {
	for {
		answer, err := agent.Get(ctx, s.Client(), s.APIResource()+"/stocks", token)
		if err != nil {
			return 0, err
		}
		if answer.Status != http.StatusTooManyRequests {
			return answer.Status, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// expire puts the token into the gateway's cache, revokes it, and calls on and
// on until it is refused for good.
func (s *stopwatch) expire(ctx context.Context, token string, revoke func(context.Context) error) error {
	for range 2 { // asked about, and remembered
		if status, err := s.call(ctx, token); err != nil || status != http.StatusOK {
			return errors.Join(err, fmt.Errorf("a good token is answered %d", status))
		}
	}
	if err := revoke(ctx); err != nil {
		return err
	}
	return s.watch(ctx, token, time.Now())
}

// watch calls until the token is refused twice, and notes for how long it
// passed.
func (s *stopwatch) watch(ctx context.Context, token string, revoked time.Time) error {
	var last time.Duration
	for refusals := 0; refusals < 2; {
		after := time.Since(revoked) // when it is sent: what is on its way then is no token that works later
		status, err := s.call(ctx, token)
		switch {
		case err != nil:
			return err
		case status == http.StatusUnauthorized:
			refusals++
		case status != http.StatusOK:
			return fmt.Errorf("a revoked token is answered %d", status)
		case refusals > 0:
			return errors.New("a token that was refused passes again")
		case after > 10*bound:
			return fmt.Errorf("a revoked token passes after %s", after)
		default:
			last = after
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed = append(s.passed, last)
	return nil
}

// report holds what was measured to the bound.
func (s *stopwatch) report(t *testing.T, what string, atLeast int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.passed)
	n := len(s.passed)
	if n < atLeast {
		t.Fatalf("R11 %s: measured %d, want at least %d", what, n, atLeast)
	}
	longest := s.passed[n-1]
	t.Logf("%s: %d tokens passed after they were revoked for p50 %s, p99 %s, at most %s", what, n, s.passed[n/2], s.passed[n*99/100], longest)
	if longest >= bound {
		t.Errorf("R11 %s: a revoked token passed for %s", what, longest)
	}
	s.passed = nil
}

// revoke returns a revocation by RFC 7009.
func (s *stopwatch) revoke(c agent.Client, token string) func(context.Context) error {
	return func(ctx context.Context) error {
		answer, err := c.Post(ctx, s.Deployment, "/revoke", url.Values{"token": {token}})
		if err == nil && answer.Status != http.StatusOK {
			err = fmt.Errorf("revoke: %d %s", answer.Status, answer.Body)
		}
		return err
	}
}

// family is the tokens of one grant.
type family struct {
	access  []string
	refresh string
}

// grow refreshes n times: every access token of a grant is good until its end.
func (f *family) grow(ctx context.Context, d *deployment.Deployment, c agent.Client, n int) error {
	for range n {
		answer, err := c.Refresh(ctx, d, f.refresh)
		if err != nil || answer.Status != http.StatusOK {
			return errors.Join(err, fmt.Errorf("refresh: %+v", answer))
		}
		f.access, f.refresh = append(f.access, answer.Text("access_token")), answer.Text("refresh_token")
	}
	return nil
}

// inParallel runs f for 0 to n-1, at most 16 at a time.
func inParallel(t *testing.T, n int, f func(ctx context.Context, i int) error) {
	t.Helper()
	var group sync.WaitGroup
	next := make(chan int)
	for range 16 {
		group.Go(func() {
			for i := range next {
				if err := f(t.Context(), i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// TestRevocationBound: attack R11. Of over a thousand tokens that the gateway
// remembers, none works a second after it was revoked.
func TestRevocationBound(t *testing.T) {
	const grants, each = 8, 130 // a grant's last tokens end with the grant
	s, c := newStopwatch(t), webClient(t)
	eventually(t, "revocations arrive", func() error { return revocations(t, "connected") })
	families := make([]family, grants)
	for i := range families {
		email := []string{person.John, person.Jane}[i%2]
		answer := tokens(t, agent.NewFlow(demo.Deployment, c, demo.APIResource()), email)
		families[i] = family{[]string{answer.Text("access_token")}, answer.Text("refresh_token")}
	}
	inParallel(t, grants, func(ctx context.Context, i int) error { return families[i].grow(ctx, s.Deployment, c, each) })
	if t.Failed() {
		return
	}
	inParallel(t, grants*each, func(ctx context.Context, i int) error {
		token := families[i%grants].access[i/grants]
		return s.expire(ctx, token, s.revoke(c, token))
	})
	s.report(t, "tokens", grants*each)
	inParallel(t, grants, func(ctx context.Context, i int) error {
		f := families[i]
		return s.expire(ctx, f.access[each], s.revoke(c, f.refresh))
	})
	s.report(t, "grants", grants)
}

// TestDeletedClient: attacks R6 and R11. A client that is deleted (RFC 7592)
// takes its tokens along, at the gateway too.
func TestDeletedClient(t *testing.T) {
	registered, err := agent.Register(t.Context(), demo.Deployment, map[string]any{
		"client_name": t.Name(), "redirect_uris": []string{redirect}, "token_endpoint_auth_method": "none",
	})
	want(t, registered, err, http.StatusCreated)
	f := agent.NewFlow(demo.Deployment, agent.Client{ID: registered.Text("client_id"), RedirectURI: redirect}, demo.MCPResource())
	token := tokens(t, f, person.John).Text("access_token")
	want2xx(t, token)
	want2xx(t, token)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, registered.Text("registration_client_uri"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+registered.Text("registration_access_token"))
	deleted, err := agent.Do(demo.Client(), req)
	want(t, deleted, err, http.StatusNoContent)
	wantRefusedInTime(t, token, time.Now())
}

// wantRefusedInTime fails the test when the MCP server takes a token for longer
// than it may.
func wantRefusedInTime(t *testing.T, token string, revoked time.Time) {
	t.Helper()
	for {
		sent := time.Since(revoked)
		answer, err := callTool(t.Context(), demo.Client(), demo.MCPResource(), token)
		switch {
		case err != nil:
			t.Fatal(err)
		case answer.Status == http.StatusUnauthorized:
			return
		case sent >= bound:
			t.Fatalf("R11 answered %d, %s after the token was revoked", answer.Status, sent)
		}
	}
}

// TestRevocationStreamCut: attack R11. While the authorization server is gone,
// nothing is believed for longer than the bound; what is revoked as soon as it
// is back stops in time, whether or not the gateway listens again by then.
func TestRevocationStreamCut(t *testing.T) {
	s, c := newStopwatch(t), webClient(t)
	f := agent.NewFlow(demo.Deployment, c, demo.APIResource())
	answer := tokens(t, f, person.John)
	many := family{[]string{answer.Text("access_token")}, answer.Text("refresh_token")}
	if err := many.grow(t.Context(), s.Deployment, c, 15); err != nil {
		t.Fatal(err)
	}
	warm := func(ctx context.Context, i int) error {
		status, err := s.call(ctx, many.access[i])
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("a good token is answered %d", status)
		}
		return err
	}
	inParallel(t, len(many.access), warm)
	without(t, "authserver", func() {
		stopped := time.Now()
		for {
			sent := time.Since(stopped)
			status, err := s.call(t.Context(), many.access[0])
			if err != nil {
				t.Fatal(err)
			}
			if status == http.StatusServiceUnavailable {
				break
			}
			if status != http.StatusOK || sent >= bound {
				t.Fatalf("R11 answered %d, %s after the authorization server was gone", status, sent)
			}
		}
		if err := revocations(t, "lost"); err != nil {
			t.Error(err)
		}
	})
	inParallel(t, len(many.access), func(ctx context.Context, i int) error {
		return s.expire(ctx, many.access[i], s.revoke(c, many.access[i]))
	})
	s.report(t, "after an outage", len(many.access))
	eventually(t, "revocations arrive again", func() error { return revocations(t, "connected") })
}

// revocations reports when the gateway's health does not say that.
func revocations(t *testing.T, state string) error {
	answer, err := agent.Get(t.Context(), demo.Client(), demo.Origin("")+"/healthz", "")
	want(t, answer, err, http.StatusOK)
	if got := answer.Text("revocations"); got != state {
		return fmt.Errorf("revocations are %q, want %q", got, state)
	}
	return nil
}
