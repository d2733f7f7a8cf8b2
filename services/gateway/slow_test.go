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
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
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

// TestSlowBodiesTakeNoSlot: attack G13. Whoever sends a request slowly, with a
// token or without, keeps nobody else from the service that it is for.
func TestSlowBodiesTakeNoSlot(t *testing.T) {
	for name, tt := range map[string]struct{ host, path, token string }{
		"a form":                  {"login", "/token", ""},
		"where none is needed":    {"api", "/openapi.json", ""},
		"an order":                {"api", "/orders", "for-api"},
		"a message":               {"mcp", "/", "for-mcp"},
		"something for the inbox": {"mail", "/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t, "UPSTREAM_CONCURRENCY=4", "TOKEN_CACHE_TTL=1m")
			d.issue("for-mcp", nil)
			d.issue("for-api", map[string]any{"aud": testSite.APIResource()})
			for range 20 {
				conn := d.dial(t, &tls.Config{NextProtos: []string{"http/1.1"}})
				defer conn.Close()
				// The server asks for the body once the handler reads it.
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", tt.path, testSite.Host(tt.host), tt.token)
				if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))); err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(conn, "abc")
			}
			if resp, body := d.do(t, "POST", testSite.Origin(tt.host)+tt.path, "a=b", "Authorization", "Bearer "+tt.token); resp.StatusCode != http.StatusOK {
				t.Errorf("G13 got %d: %s", resp.StatusCode, body)
			}
		})
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
	cfg := settings{Site: testSite, UpstreamConcurrency: 10, RequestsPerUser: 10, RequestsPerClient: 10, RefusalsPerIP: 10}
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
		w := &deadlines{ResponseWriter: httptest.NewRecorder()}
		rt.handler(cfg, tokens, newProofs(testSecret), newQuotas(cfg), service, log).ServeHTTP(w, r)
		if len(w.set) != 1 || time.Until(w.set[0]) < answerTime-time.Second {
			t.Errorf("%s: deadlines of the connection: %v, want one", rt.Host, w.set)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes whose answers have to end (-want +got):\n%s", diff)
	}
}

// deadlines notes those that are set.
type deadlines struct {
	http.ResponseWriter
	set   []time.Time
	write func() // takes its time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error { d.set = append(d.set, at); return nil }
func (d *deadlines) Write(p []byte) (int, error)         { d.write(); return len(p), nil }
func (d *deadlines) FlushError() error                   { d.write(); return nil }

// TestStreamThatNobodyReads: attack G13. A stream may be silent for as long as
// it likes, but what is sent has to be taken.
func TestStreamThatNobodyReads(t *testing.T) {
	const patience = 30 * time.Second
	tests := map[string]struct {
		silence, taken time.Duration
		cut            bool
	}{
		"at once":       {0, 0, false},
		"after an hour": {time.Hour, 0, false},
		"slowly":        {0, patience - 1, false},
		"never":         {0, patience + 1, true},
	}
	for name, tt := range tests {
		for how, send := range map[string]func(http.ResponseWriter) error{
			"write": func(w http.ResponseWriter) error { _, err := w.Write([]byte("x")); return err },
			"flush": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := &deadlines{ResponseWriter: httptest.NewRecorder(), write: func() { time.Sleep(tt.taken) }}
					limitWrites(patience, http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
						for range 3 {
							time.Sleep(tt.silence)
							if err := send(out); err != nil {
								t.Error(err)
							}
						}
					})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
					if cut := w.set[0].Before(time.Now()); cut != tt.cut {
						t.Errorf("cut: %t, want %t", cut, tt.cut)
					}
					if last := w.set[len(w.set)-1]; !last.Equal(time.Now().Add(patience)) {
						t.Errorf("what is left of the answer has until %s", last)
					}
				})
			})
		}
	}
}

// TestStreamIsCut: attack G13, in HTTP/2. A client that gives its streams no
// room does not hold the handler.
func TestStreamIsCut(t *testing.T) {
	written := make(chan error, 1)
	server := httptest.NewUnstartedServer(limitWrites(10*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "data: x\n\n")
		written <- http.NewResponseController(w).Flush()
	})))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close) // after the connection of frames
	f := (&deployment{addr: server.Listener.Addr().String()}).frames(t)
	if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	if err := f.open(1, true, ":method", "GET", ":scheme", "https", ":authority", "example.com", ":path", "/"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-written:
		if err == nil {
			t.Error("the answer was taken")
		}
	case <-time.After(5 * time.Second):
		t.Error("the handler waits for a client that takes nothing")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
