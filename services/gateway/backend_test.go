package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// quietLog returns a logger and what it wrote.
func quietLog() (*safeBuffer, *slog.Logger) {
	out := new(safeBuffer)
	return out, slog.New(slog.NewJSONHandler(out, nil))
}

// restartable is a service that can be stopped, and started again at the same
// address.
type restartable struct {
	addr string
	srv  *http.Server
	h    http.Handler
}

func newRestartable(t *testing.T, h http.HandlerFunc) *restartable {
	s := &restartable{addr: freeAddr(t), h: h}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *restartable) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.srv = &http.Server{Handler: s.h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.srv.Serve(l) }() // ends with stop
}

func (s *restartable) stop() { _ = s.srv.Close() }

// TestSlowServiceFillsItsOwnShare keeps as many requests at the API waiting as
// it may have: the next one is refused at once, other services do not notice,
// and the API serves on when it has answered.
func TestSlowServiceFillsItsOwnShare(t *testing.T) {
	const share = 4
	d := start(t, fmt.Sprintf("UPSTREAM_CONCURRENCY=%d", share))
	d.issue("for-mcp", nil)
	for i := range share + 1 { // one user alone gets less
		who := fmt.Sprint(i)
		d.issue("for-api-"+who, map[string]any{"aud": testSite.APIResource(), "sub": who, "client_id": who})
	}
	arrived, answer := make(chan struct{}), make(chan struct{})
	d.api.serve(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-answer })
	get := func(url, token string) (int, http.Header, string) {
		resp, body := d.do(t, "GET", url, "", "Authorization", "Bearer "+token)
		return resp.StatusCode, resp.Header, body
	}
	var wg sync.WaitGroup
	for i := range share {
		wg.Go(func() {
			if status, _, _ := get(testSite.APIResource()+"/stocks", fmt.Sprint("for-api-", i)); status != http.StatusOK {
				t.Errorf("a slow request: got %d", status)
			}
		})
		<-arrived
	}
	began := time.Now()
	status, header, body := get(testSite.APIResource()+"/stocks", fmt.Sprint("for-api-", share))
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("one too many: got %d %v %s, want a 503 problem with Retry-After", status, header, body)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("one too many was refused after %s", took)
	}
	for _, other := range []string{testSite.MCPResource(), testSite.Origin("mail") + "/", testSite.Origin("login") + "/"} {
		if status, _, _ := get(other, "for-mcp"); status != http.StatusOK {
			t.Errorf("%s: got %d while another service is slow", other, status)
		}
	}
	close(answer)
	wg.Wait()
	go func() { <-arrived }()
	if status, _, _ := get(testSite.APIResource()+"/stocks", "for-api-0"); status != http.StatusOK {
		t.Errorf("afterwards: got %d", status)
	}
}

// TestStreamHoldsItsPlace: an answer that is still being sent counts, and so
// does a WebSocket, until it is closed.
func TestStreamHoldsItsPlace(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer service.Close()
	origin, err := url.Parse(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, log := quietLog()
	b := newBackend("test", *origin, 1, newTransport(nil), log)
	for _, path := range []string{"/stream", "/ws"} {
		ask := func() (*http.Response, error) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, service.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if path == "/ws" {
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "websocket")
			}
			return b.RoundTrip(req)
		}
		first, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := first.Body.(io.ReadWriteCloser); ok != (path == "/ws") {
			t.Errorf("%s: can be written to: %t", path, ok)
		}
		if _, err := ask(); !errors.Is(err, errBusy) {
			t.Errorf("%s: a second one: got %v", path, err)
		}
		first.Body.Close()
		first.Body.Close() // as http.Client may: gives back one place, not two
		if b.slots.left != 1 {
			t.Errorf("%s: the place is not free again", path)
		}
	}
}

// TestServiceIsBackWithinTwoSeconds stops a service under load and starts it
// again, without a word to the gateway. While it is down every answer is a
// 503, most of them without asking.
func TestServiceIsBackWithinTwoSeconds(t *testing.T) {
	var served atomic.Int64
	api := newRestartable(t, func(w http.ResponseWriter, _ *http.Request) { served.Add(1) })
	d := start(t, "STOCKSAPI_URL=http://"+api.addr, "TOKEN_CACHE_TTL=1m")
	d.issue("for-api", map[string]any{"aud": testSite.APIResource()})
	ask := func() (int, http.Header) {
		resp, _ := d.do(t, "POST", testSite.APIResource()+"/stocks", "{}", "Authorization", "Bearer for-api")
		return resp.StatusCode, resp.Header
	}
	if status, _ := ask(); status != http.StatusOK {
		t.Fatalf("before: got %d", status)
	}
	api.stop()
	down := time.Now()
	const asked = 100
	for range asked {
		if status, header := ask(); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			t.Errorf("while it is down: got %d, want 503 with Retry-After", status)
		}
	}
	if took := time.Since(down); took > 5*time.Second {
		t.Errorf("%d refusals took %s", asked, took)
	}
	if lines := d.logLines("upstream state"); len(lines) == 0 || lines[0]["state"] != "open" || lines[0]["upstream"] != "api" {
		t.Errorf("logged %v, want that the API counts as down", lines)
	}
	if tries := len(d.logLines("upstream")); tries >= asked/2 {
		t.Errorf("the service that is down was tried %d times", tries)
	}
	served.Store(0)
	api.start(t)
	back := time.Now()
	for status, _ := ask(); status != http.StatusOK; status, _ = ask() {
		if time.Since(back) > 2*time.Second {
			t.Fatalf("still %d two seconds after it is back", status)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("served again %s after it was back", time.Since(back))
	for range 50 {
		if status, _ := ask(); status != http.StatusOK {
			t.Errorf("after it was back: got %d", status)
		}
	}
}

// TestHungServiceIsFoundOut: a service that takes requests and answers none
// opens the breaker by its time-outs, and one that answers again closes it.
func TestHungServiceIsFoundOut(t *testing.T) {
	var hung atomic.Bool
	hung.Store(true)
	service := newUpstream(t)
	service.serve(func(_ http.ResponseWriter, r *http.Request) {
		if hung.Load() {
			<-r.Context().Done()
		}
	})
	origin, err := url.Parse(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, log := quietLog()
	transport := newTransport(nil)
	transport.ResponseHeaderTimeout = 20 * time.Millisecond
	b := newBackend("test", *origin, 10, transport, log)
	ask := func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service.URL+"/x", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	for range failuresToOpen {
		if err := ask(); err == nil || isOverload(err) {
			t.Fatalf("got %v, want a time-out", err)
		}
	}
	if err := ask(); !isOverload(err) {
		t.Errorf("got %v, want that the service is not asked", err)
	}
	hung.Store(false)
	service.taken()
	for back := time.Now(); ask() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(back) > 2*time.Second {
			t.Fatal("still down two seconds after it is back")
		}
	}
	if seen := service.taken(); seen[0].URL.Path != "/healthz" {
		t.Errorf("%s was what found out that the service is back, want its health check", seen[0].URL.Path)
	}
}

// TestClientsFaultsOpenNothing: whoever hangs up tells nothing about the service
// and must not be able to close it to others.
func TestClientsFaultsOpenNothing(t *testing.T) {
	service := newUpstream(t)
	service.serve(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
		}
	})
	origin, err := url.Parse(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, log := quietLog()
	b := newBackend("test", *origin, 10, newTransport(nil), log)
	for range 3 * failuresToOpen {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Millisecond, cancel)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, service.URL+"/wait", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.RoundTrip(req); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
}

// TestKnownTokensOutliveTheAuthorizationServer: while it is down, tokens that
// are remembered work until their time is over, others are told of an outage
// at once, and all work again two seconds after it is back.
func TestKnownTokensOutliveTheAuthorizationServer(t *testing.T) {
	jwt := testJWT("at+jwt", nil)
	as := newRestartable(t, answerWith(http.StatusOK, "application/jwt", jwt))
	d := start(t, "AUTHSERVER_URL=http://"+as.addr, "TOKEN_CACHE_TTL=1m")
	ask := func(token string) (int, http.Header) {
		resp, _ := d.do(t, "POST", testSite.MCPResource(), "{}", "Authorization", "Bearer "+token)
		return resp.StatusCode, resp.Header
	}
	if status, _ := ask("known"); status != http.StatusOK {
		t.Fatalf("before: got %d", status)
	}
	as.stop()
	for i := range 30 {
		if status, _ := ask("known"); status != http.StatusOK {
			t.Errorf("a known token: got %d", status)
		}
		began := time.Now()
		status, header := ask(fmt.Sprint("unknown-", i))
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || header.Get("WWW-Authenticate") != "" {
			t.Errorf("an unknown token: got %d %v, want 503 with Retry-After", status, header)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("an unknown token was answered after %s", took)
		}
	}
	as.start(t)
	back := time.Now()
	for status, _ := ask("unknown"); status != http.StatusOK; status, _ = ask("unknown") {
		if time.Since(back) > 2*time.Second {
			t.Fatalf("still %d two seconds after it is back", status)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
