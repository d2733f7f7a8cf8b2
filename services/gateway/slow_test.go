package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSlowConnections: attack G13. Two thousand connections that hold on to
// the server in some way do not get in the way of those that behave, and whoever
// does not say what they want in a few seconds is cut off.
func TestSlowConnections(t *testing.T) {
	const connections, parallel = 2000, 50
	d := start(t)
	d.login.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	baseline := d.p99(t)
	cut := d.trickle(t)

	// A quarter each: half of the headers, half of a body, nothing at all, and
	// all of a request whose answer nobody reads.
	const head = "POST /token HTTP/1.1\r\nHost: login.demo.localhost:8443\r\n"
	kinds := []string{head + "A: ", head + "Content-Length: 100\r\n\r\nabc", "", head + "Content-Length: 0\r\n\r\n"}
	conns := make(chan *tls.Conn, connections)
	// TLS 1.2 resumes a session without any public key: the handshakes are not
	// the subject, and would take most of the time.
	cfg := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	d.dial(t, cfg).Close()
	var wg sync.WaitGroup
	for i := range parallel {
		wg.Go(func() {
			for n := i; n < connections; n += parallel {
				conn, err := tls.Dial("tcp", d.addr, cfg)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, kinds[n%len(kinds)])
				conns <- conn
			}
		})
	}
	wg.Wait()
	close(conns)
	loaded := d.p99(t)
	t.Logf("p99 is %s, with %d slow connections %s", baseline, connections, loaded)
	// On a busy machine a few milliseconds are no news.
	if limit := max(2*baseline, 100*time.Millisecond); loaded > limit {
		t.Errorf("p99 is %s with slow connections, want at most %s", loaded, limit)
	}
	for conn := range conns {
		conn.Close()
	}
	if lived := <-cut; lived > 8*time.Second {
		t.Errorf("a connection with slow headers lived for %s", lived)
	}
}

// TestSlowBodiesTakeNoSlot: attack G13. Whoever sends a form slowly, which takes
// no token, keeps nobody else from signing in.
func TestSlowBodiesTakeNoSlot(t *testing.T) {
	d := start(t, "UPSTREAM_CONCURRENCY=2")
	for range 20 {
		conn := d.dial(t, &tls.Config{NextProtos: []string{"http/1.1"}})
		defer conn.Close()
		// The server asks for the body once the handler reads it.
		_, _ = io.WriteString(conn, "POST /token HTTP/1.1\r\nHost: login.demo.localhost:8443\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
		if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "abc")
	}
	if resp, body := d.do(t, "POST", testSite.Origin("login")+"/token", "a=b"); resp.StatusCode != http.StatusOK {
		t.Errorf("got %d: %s", resp.StatusCode, body)
	}
}

// trickle sends headers a byte at a time, and returns how long it could.
func (d *deployment) trickle(t *testing.T) <-chan time.Duration {
	conn := d.dial(t, &tls.Config{NextProtos: []string{"http/1.1"}})
	began, cut := time.Now(), make(chan time.Duration, 1)
	go func() {
		defer conn.Close()
		for { // fails when the server is gone
			if _, err := io.WriteString(conn, "G"); err != nil {
				cut <- time.Since(began)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return cut
}

// TestRapidReset: attack G13, in HTTP/2. Streams that are taken back at once
// still count until their handlers have ended, so a connection that goes on
// opening more is cut off.
func TestRapidReset(t *testing.T) {
	d := start(t)
	// What else the machine does may slow one of the two measurements down. An
	// attack that works slows them all down.
	const rounds = 3
	for round := 1; ; round++ {
		baseline := d.p99(t)
		attack, conn := make(chan int, 1), d.frames(t)
		go func() { attack <- conn.resets(10_000) }()
		loaded := d.p99(t)
		opened := <-attack
		t.Logf("p99 is %s, with %d streams that are taken back %s", baseline, opened, loaded)
		limit := max(2*baseline, time.Second)
		if loaded <= limit {
			break
		}
		if round == rounds {
			t.Fatalf("p99 is %s while streams are taken back, want at most %s", loaded, limit)
		}
	}
	if resp, _ := d.do(t, "GET", testSite.Origin("login")+"/", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("afterwards: got %d", resp.StatusCode)
	}
	if failures := d.logLines("upstream"); len(failures) != 0 {
		t.Errorf("streams that are taken back count as %d failures of the service: %v", len(failures), failures[0])
	}
}

// p99 asks one request after the other and returns how long the slowest of a
// hundred takes.
func (d *deployment) p99(t *testing.T) time.Duration {
	t.Helper()
	const requests = 300
	took := make([]time.Duration, 0, requests)
	for i := range requests {
		began := time.Now()
		resp, _ := d.do(t, "GET", fmt.Sprint(testSite.Origin("login"), "/register/", i), "")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("got %d", resp.StatusCode)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[requests*99/100]
}

// TestTimeLimits: attack G13. Answers have to end in time, except on routes
// with streams.
func TestTimeLimits(t *testing.T) {
	cfg := settings{Site: testSite, RequestsPerUser: 10, RequestsPerClient: 10, RefusalsPerIP: 10}
	good := func(context.Context, string, string) (phantom, error) {
		return phantom{JWT: "a.b.c", Scope: "stocks/read", Expires: time.Now().Add(time.Hour)}, nil
	}
	tokens := newTokenCache(minTokenCacheBytes, noStream(), time.Now, good)
	_, log := quietLog()
	want := map[string]bool{"/login/token": true, "/admin/admin": true, "/api/stocks": true, "/mcp/": false, "/mail/": false}
	got := map[string]bool{}
	for _, rt := range routes(cfg) {
		path := map[string]string{"login": "/token", "admin": "/admin", "api": "/stocks", "mcp": "/", "mail": "/"}[rt.Host]
		service := roundTrip(func(r *http.Request) (*http.Response, error) {
			_, got["/"+rt.Host+path] = r.Context().Deadline()
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer opaque")
		rt.handler(cfg, tokens, newProofs(testSecret), newQuotas(cfg), service, log).ServeHTTP(httptest.NewRecorder(), r)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes whose answers have to end (-want +got):\n%s", diff)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
