package httpserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/httpserver"
)

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines returns the records with a message.
func (l *logBuffer) lines(t *testing.T, message string) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if record["msg"] == message {
			out = append(out, record)
		}
	}
	return out
}

func newLog() (*slog.Logger, *logBuffer) {
	b := &logBuffer{}
	return slog.New(slog.NewJSONHandler(b, nil)), b
}

// TestRequestID: an id from outside is kept only where it is trusted, and
// only if it cannot break a log line.
func TestRequestID(t *testing.T) {
	form := regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)
	tests := map[string]struct {
		sent  string
		trust bool
		kept  bool
	}{
		"trusted":      {"ABCdef-123_4567890", true, true},
		"shortest":     {"12345678", true, true},
		"longest":      {strings.Repeat("a", 64), true, true},
		"not trusted":  {"ABCdef-123_4567890", false, false},
		"none":         {"", true, false},
		"short":        {"1234567", true, false},
		"long":         {strings.Repeat("a", 65), true, false},
		"space":        {"1234 5678", true, false},
		"log breaking": {"12345678\" msg=\"x", true, false},
		"line break":   {"12345678\n", true, false},
		"not ASCII":    {"1234567é8", true, false},
	}
	for name, tt := range tests {
		log, logs := newLog()
		var seen string
		h := httpserver.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = httpserver.RequestID(r.Context()) }), log, tt.trust)
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set(httpserver.RequestIDHeader, tt.sent)
		h.ServeHTTP(w, r)
		if (seen == tt.sent) != tt.kept || !form.MatchString(seen) {
			t.Errorf("%s: %q became %q", name, tt.sent, seen)
		}
		if got := w.Header().Get(httpserver.RequestIDHeader); got != seen {
			t.Errorf("%s: answered with id %q, want %q", name, got, seen)
		}
		if lines := logs.lines(t, "request"); len(lines) != 1 || lines[0]["request_id"] != seen {
			t.Errorf("%s: logged %v, want %q", name, lines, seen)
		}
	}
	if id := httpserver.RequestID(t.Context()); id != "" {
		t.Errorf("a context of no request has id %q", id)
	}
}

// TestAccessLog: one line a request, with no secret that the URL, a header or
// the body held.
func TestAccessLog(t *testing.T) {
	tests := map[string]struct {
		handler     http.HandlerFunc
		status, len float64
	}{
		"written":      {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, 200, 5},
		"nothing":      {func(http.ResponseWriter, *http.Request) {}, 200, 0},
		"status":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); fmt.Fprint(w, "no") }, 404, 2},
		"early hints":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(201) }, 201, 0},
		"status twice": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); w.WriteHeader(200) }, 400, 0},
		"flushed":      {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); fmt.Fprint(w, "x") }, 200, 1},
		"by controller": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "x")
			_ = http.NewResponseController(w).Flush()
		}, 200, 1},
		"a panic": {func(http.ResponseWriter, *http.Request) { panic("boom") }, 500, 64},
	}
	for name, tt := range tests {
		log, logs := newLog()
		r := httptest.NewRequest(http.MethodPost, "/token?code=in-the-query", strings.NewReader("secret=in-the-body"))
		r.Header.Set("Authorization", "Bearer in-the-header")
		r.Header.Set("Cookie", "session=in-the-cookie")
		httpserver.Wrap(tt.handler, log, true).ServeHTTP(httptest.NewRecorder(), r)
		lines := logs.lines(t, "request")
		if len(lines) != 1 {
			t.Errorf("%s: %d lines", name, len(lines))
			continue
		}
		got := lines[0]
		if _, ok := got["duration_ms"].(float64); !ok {
			t.Errorf("%s: no duration in %v", name, got)
		}
		want := map[string]any{"level": "INFO", "msg": "request", "method": "POST", "host": "example.com", "path": "/token", "status": tt.status, "bytes": tt.len}
		if name == "a panic" {
			want["bytes"] = got["bytes"] // depends on the id
		}
		for _, volatile := range []string{"time", "request_id", "duration_ms"} {
			delete(got, volatile)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if strings.Contains(logs.String(), "in-the-") {
			t.Errorf("%s: logged %s", name, logs)
		}
	}
}

func TestHealthChecksAreNotLogged(t *testing.T) {
	log, logs := newLog()
	for _, status := range []int{0, 200, 503} {
		h := httpserver.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if status != 0 {
				w.WriteHeader(status)
			}
		}), log, true)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/healthz", nil))
	}
	if lines := logs.lines(t, "request"); len(lines) != 1 || lines[0]["status"] != 503.0 {
		t.Errorf("logged %v, want the failure alone", lines)
	}
}

// TestPanic: attack G15. The caller gets an id to quote, the log gets the stack.
func TestPanic(t *testing.T) {
	log, logs := newLog()
	w := httptest.NewRecorder()
	httpserver.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the database is called users_v2") }), log, true).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	body := w.Body.String()
	if w.Code != http.StatusInternalServerError || !strings.Contains(body, w.Header().Get(httpserver.RequestIDHeader)) {
		t.Errorf("%d %s", w.Code, body)
	}
	for _, inside := range []string{"users_v2", "goroutine", ".go:", "panic"} {
		if strings.Contains(body, inside) {
			t.Errorf("the answer tells %q: %s", inside, body)
		}
	}
	lines := logs.lines(t, "panic")
	if len(lines) != 1 || lines[0]["panic"] != "the database is called users_v2" || !strings.Contains(fmt.Sprint(lines[0]["stack"]), "httpserver_test.go") {
		t.Errorf("logged %v", lines)
	}

	w = httptest.NewRecorder()
	httpserver.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "begun")
		panic("late")
	}), log, true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusOK || w.Body.String() != "begun" {
		t.Errorf("an answer that was begun goes on as %d %q", w.Code, w.Body)
	}

	defer func() {
		p := recover()
		if err, _ := p.(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("recovered %v, want the server to cut the connection", p)
		}
	}()
	httpserver.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), log, true).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestTransport(t *testing.T) {
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header.Values(httpserver.RequestIDHeader)
	}))
	defer srv.Close()
	client := &http.Client{Transport: httpserver.Transport{Base: http.DefaultTransport}}
	for _, tt := range []struct {
		ctx  context.Context
		own  string
		want []string
	}{
		{httpserver.WithRequestID(t.Context(), "id-of-request"), "", []string{"id-of-request"}},
		{httpserver.WithRequestID(t.Context(), "id-of-request"), "another", []string{"id-of-request"}},
		{t.Context(), "", nil},
	} {
		req, err := http.NewRequestWithContext(tt.ctx, http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.own != "" {
			req.Header.Set(httpserver.RequestIDHeader, tt.own)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if req.Header.Get(httpserver.RequestIDHeader) != tt.own {
			t.Error("the caller's request was changed") // http.RoundTripper forbids it
		}
	}
}

// freeAddr returns an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestServe: a service that is stopped answers what it was asked before, on
// every address, and takes nothing new.
func TestServe(t *testing.T) {
	log, logs := newLog()
	begun, finish := make(chan struct{}, 2), make(chan struct{})
	srv := httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-finish
		fmt.Fprint(w, "finished: ", r.Context().Err())
	}), log)
	one, two := freeAddr(t), freeAddr(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- httpserver.Serve(ctx, srv, "LISTEN_ADDR", one+", "+two, log) }()
	for len(logs.lines(t, "listening")) < 2 {
		time.Sleep(time.Millisecond)
	}
	answers := make(chan string, 2)
	for _, addr := range []string{one, two} {
		go func() {
			resp, err := http.Get("http://" + addr)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			answers <- string(body)
		}()
		select {
		case <-begun:
		case err := <-done:
			t.Fatalf("does not serve %s: %v", addr, err)
		}
	}
	stop()
	for _, addr := range []string{one, two} {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				break
			}
			c.Close()
			if time.Now().After(deadline) {
				t.Fatalf("%s still takes connections", addr)
			}
		}
	}
	select {
	case err := <-done:
		t.Fatalf("stopped with a request in flight: %v", err)
	default:
	}
	close(finish)
	for range 2 {
		if got := <-answers; got != "finished: <nil>" {
			t.Errorf("answer %q", got)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeBadAddress(t *testing.T) {
	log, _ := newLog()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	first := freeAddr(t)
	for _, addrs := range []string{busy.Addr().String(), first + "," + busy.Addr().String(), "127.0.0.1", "127.0.0.1:99999", ""} {
		err := httpserver.Serve(t.Context(), httpserver.New(nil, log), "LISTEN_ADDR", addrs, log)
		if err == nil || !strings.HasPrefix(err.Error(), "LISTEN_ADDR: ") {
			t.Errorf("%q: %v", addrs, err)
		}
	}
	l, err := net.Listen("tcp", first) // given back, though the second address failed
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestLimits: attack G13. A request that is slow or huge does not hold the server up.
func TestLimits(t *testing.T) {
	log, logs := newLog()
	srv := httpserver.New(http.NotFoundHandler(), log)
	if srv.ReadHeaderTimeout <= 0 || srv.ReadTimeout <= 0 || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes <= 0 {
		t.Errorf("%+v has no limit", srv)
	}
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = srv
	ts.Start()
	defer ts.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
			t.Error(err)
		}
		return // the server hung up before we had sent all of it
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("64 kB of headers: %s; log %s", resp.Status, logs)
	}
}
