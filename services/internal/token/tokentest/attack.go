package tokentest

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/token"
)

// Service is a protected resource that Attack attacks.
type Service struct {
	Issuer, Audience string
	// Handler returns the service's own, with a verifier that the attack made.
	Handler func(*token.Verifier) http.Handler
	// Request returns one that a good token makes succeed with 200. The attack
	// adds the header Authorization.
	Request func(url string) *http.Request
}

// Attack runs section J of docs/security.md against a service, over
// connections of the network, as is the fetching of the issuer's keys.
func Attack(t *testing.T, s Service) {
	t.Run("J1 J2 J3 J4 J5 J7 forged tokens", s.forged)
	t.Run("J5 clocks may differ by 10 s", s.leeway)
	t.Run("J9 rotation", s.rotation)
	t.Run("J10 flood of unknown kids", s.flood)
	t.Run("J11 key set out of order", s.outage)
	t.Run("J11 key set that hangs", s.hang)
}

// target is a service that runs, and the issuer that it believes.
type target struct {
	*Issuer
	clock   *Clock // of the verifier; it stands still
	service Service
	url     string
	client  *http.Client
	t       *testing.T
}

func (s Service) start(t *testing.T) *target {
	t.Helper()
	issuer, clock := New(t, s.Issuer), NewClock(time.Now())
	verifier := token.NewVerifierAt(s.Issuer, s.Audience, issuer.JWKSURL, http.DefaultClient, clock.Now)
	srv := httptest.NewUnstartedServer(nil)
	log := slog.New(slog.DiscardHandler)
	srv.Config = httpserver.New(httpserver.Wrap(s.Handler(verifier), log, true), log) // with the limits of every service
	srv.Start()
	t.Cleanup(srv.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	return &target{Issuer: issuer, clock: clock, service: s, url: srv.URL, client: &http.Client{Transport: transport}, t: t}
}

// good returns a token that is good at the clock's time.
func (a *target) good() string {
	now := a.clock.Now()
	return a.Sign(a.With(a.service.Audience, map[string]any{"iat": now.Unix(), "exp": now.Add(15 * time.Minute).Unix()}))
}

// unknown returns a token whose kid is in no key set.
func (a *target) unknown() string {
	return a.SignWithHeader(a.Claims(a.service.Audience), map[string]any{"kid": "unknown"})
}

// do sends a token and returns status and headers of the answer.
func (a *target) do(bearer string) (status int, header http.Header) {
	a.t.Helper()
	r := a.service.Request(a.url).WithContext(a.t.Context())
	r.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := a.client.Do(r)
	if err != nil {
		a.t.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		a.t.Error(err)
	}
	return resp.StatusCode, resp.Header
}

// want reports an answer to a token that has another status.
func (a *target) want(status int, bearer, when string) {
	a.t.Helper()
	got, header := a.do(bearer)
	if got != status {
		a.t.Errorf("%s: %d, want %d", when, got, status)
	}
	if challenge := header.Get("WWW-Authenticate"); (challenge != "") != (status == http.StatusUnauthorized) {
		a.t.Errorf("%s: %d with challenge %q", when, status, challenge)
	}
	if status == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
		a.t.Errorf("%s: 503 without Retry-After", when)
	}
}

// forged sends every token of Forged. What a refusal may cost is bounded; it
// gets many tries to show that, as other programs run beside this one. A header
// that is too large does not reach the service: its time is the client's.
func (s Service) forged(t *testing.T) {
	const (
		maxTime  = 10 * time.Millisecond
		maxBytes = 1 << 20 // that client and server allocate together
	)
	a := s.start(t)
	a.want(http.StatusOK, a.good(), "a good token")
	var fetched atomic.Int64 // of anything that a header points to
	lure := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer lure.Close()
	before := a.Fetches.Load()
	for name, raw := range a.Forged(s.Audience, lure.URL) {
		if strings.ContainsAny(raw, "\r\n") {
			continue // cannot be sent: it ends the header
		}
		t.Run(name, func(t *testing.T) {
			took, bytes := time.Hour, uint64(1<<40)
			bounded := func() bool { return (took <= maxTime || len(raw) > maxHeader) && bytes <= maxBytes }
			for try := 0; try < 50 && !bounded(); try++ {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				allocated, start := m.TotalAlloc, time.Now()
				status, header := a.do(raw)
				took = min(took, time.Since(start))
				runtime.ReadMemStats(&m)
				bytes = min(bytes, m.TotalAlloc-allocated)
				checkRefusal(t, raw, status, header.Get("WWW-Authenticate"))
			}
			if !bounded() {
				t.Errorf("took %v and %d bytes", took, bytes)
			}
		})
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("J2: %d fetches of an address in a header", n)
	}
	if n := a.Fetches.Load() - before; n > 1 {
		t.Errorf("J10: %d fetches of the key set", n) // one for all the names of keys
	}
	a.want(http.StatusOK, a.good(), "a good token afterwards")
}

// maxHeader is above what httpserver reads of one.
const maxHeader = 36 << 10

// checkRefusal: 401 with a challenge; 400 where it cannot be said what the
// token is; 431 where the header is larger than any that is read.
func checkRefusal(t *testing.T, raw string, status int, challenge string) {
	t.Helper()
	switch {
	case len(raw) > maxHeader:
		if status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%d, want 431", status)
		}
	case raw == "" || strings.Contains(raw, " "):
		if status != http.StatusBadRequest || !strings.Contains(challenge, `error="invalid_request"`) {
			t.Errorf("%d %q, want 400 invalid_request", status, challenge)
		}
	default:
		if status != http.StatusUnauthorized || !strings.Contains(challenge, `error="invalid_token"`) {
			t.Errorf("%d %q, want 401 invalid_token", status, challenge)
		}
		if strings.Contains(challenge, "error_description") {
			t.Errorf("the challenge tells why: %q", challenge)
		}
	}
}

func (s Service) leeway(t *testing.T) {
	a := s.start(t)
	now := a.clock.Now()
	inside, outside := token.Leeway-2*time.Second, token.Leeway+2*time.Second
	for d, want := range map[time.Duration]int{inside: http.StatusOK, outside: http.StatusUnauthorized} {
		for name, changes := range map[string]map[string]any{
			"expired":      {"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(-d).Unix()},
			"not yet":      {"nbf": now.Add(d).Unix()},
			"issued later": {"iat": now.Add(d).Unix()},
		} {
			a.want(want, a.Sign(a.With(s.Audience, changes)), name+" by "+d.String())
		}
	}
}

// rotation changes the key under load. Nobody may notice, even though the
// issuer cannot be reached in the moment of the change.
func (s Service) rotation(t *testing.T) {
	a := s.start(t)
	var current atomic.Value
	current.Store(a.good())
	var requests atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 2 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					a.want(http.StatusOK, current.Load().(string), "under load")
					requests.Add(1)
				}
			}
		})
	}
	served := func(n int64) { waitFor(t, "requests", func() bool { return requests.Load() >= n }) }
	served(20)
	old := a.good()
	fetched := a.Fetches.Load()
	a.Publish("key-2")
	a.clock.Advance(6 * time.Minute) // the set is fetched again in the background
	waitFor(t, "the new key set", func() bool { return a.Fetches.Load() > fetched })
	a.Down.Store(true)
	a.Use("key-2")
	current.Store(a.good())
	served(requests.Load() + 50)
	a.want(http.StatusOK, old, "of the key before")
	a.Down.Store(false)

	a.Retire("key-1")
	a.clock.Advance(6 * time.Minute)
	served(requests.Load() + 50)
	waitFor(t, "the end of the retired key", func() bool {
		status, _ := a.do(old)
		return status == http.StatusUnauthorized
	})
	close(stop)
	load.Wait()
}

// flood sends a thousand tokens with unknown kids. The clock stands still, so
// that all of them are within one pause between fetches.
func (s Service) flood(t *testing.T) {
	a := s.start(t)
	good, unknown := a.good(), a.unknown()
	a.want(http.StatusOK, good, "before")
	a.clock.Advance(2 * time.Second)
	before := a.Fetches.Load()
	var flood sync.WaitGroup
	for range 4 {
		flood.Go(func() {
			for range 250 {
				a.want(http.StatusUnauthorized, unknown, "unknown kid")
			}
		})
	}
	for range 100 {
		a.want(http.StatusOK, good, "during the flood")
	}
	flood.Wait()
	if n := a.Fetches.Load() - before; n > 1 {
		t.Errorf("%d fetches", n)
	}
}

// outage serves no usable key set, in many ways.
func (s Service) outage(t *testing.T) {
	for name, body := range map[string]string{
		"down":       "",
		"empty":      `{"keys":[]}`,
		"no body":    " ",
		"wrong type": `["keys"]`,
		"HTML":       `<html>`,
		"5 MB":       `{"keys":[],"pad":"` + strings.Repeat("x", 5<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			a := s.start(t)
			a.want(http.StatusOK, a.good(), "before")
			a.Down.Store(body == "")
			a.Serve(body)
			a.clock.Advance(6 * time.Minute) // a refresh begins, and fails
			for range 3 {
				a.want(http.StatusOK, a.good(), "with the last good keys")
				a.clock.Advance(2 * time.Second)
			}
			a.want(http.StatusServiceUnavailable, a.unknown(), "a kid that may be new")
			a.clock.Advance(time.Hour)
			a.want(http.StatusServiceUnavailable, a.good(), "with keys too old to be believed")
			a.Down.Store(false)
			a.Serve("")
			a.clock.Advance(time.Second)
			a.want(http.StatusOK, a.good(), "after the outage")
		})
	}
}

// hang: whoever has a key does not wait for a key set that does not come.
func (s Service) hang(t *testing.T) {
	a := s.start(t)
	a.want(http.StatusOK, a.good(), "before")
	release := a.Hang()
	defer release() // before the key server is closed, which waits for it
	fetched := a.Fetches.Load()
	a.clock.Advance(6 * time.Minute)
	start := time.Now()
	for range 10 {
		a.want(http.StatusOK, a.good(), "while the fetch hangs")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("ten requests took %v", took)
	}
	waitFor(t, "the fetch that hangs", func() bool { return a.Fetches.Load() > fetched })
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}
