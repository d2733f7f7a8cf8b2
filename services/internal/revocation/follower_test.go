package revocation

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"demo.example/services/internal/logtest"
)

// stream is an authorization server that serves what a test says, one handler
// a connection; the last one serves all that come after.
type stream struct {
	*Follower
	connections atomic.Int64
	log         *logtest.Buffer
}

func follow(t *testing.T, handlers ...http.HandlerFunc) *stream {
	t.Helper()
	s := &stream{log: &logtest.Buffer{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(s.connections.Add(1))
		if id, secret, _ := r.BasicAuth(); id != "a+service" || secret != "s%25cret" || r.Header.Get("Accept") != MediaType {
			t.Errorf("asked as %q %q for %q", id, secret, r.Header.Get("Accept"))
		}
		handlers[min(n, len(handlers))-1](w, r)
	}))
	s.Follower = &Follower{
		URL: srv.URL, ClientID: "a service", Secret: "s%cret", Client: &http.Client{Transport: &http.Transport{}},
		Watch: NewWatch(time.Minute, time.Now), Log: slog.New(slog.NewTextHandler(s.log, nil)),
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
		srv.Close()
		if s.Watch.State() != "lost" {
			t.Error("the watch still trusts a stream that nobody reads")
		}
	})
	return s
}

// serving answers with lines and then waits for the reader to hang up, with
// heartbeats or, if it is dumb, without.
func serving(lines string, dumb bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", MediaType)
		_, _ = io.WriteString(w, lines)
		_ = http.NewResponseController(w).Flush()
		beat := time.NewTicker(Heartbeat)
		defer beat.Stop()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-beat.C:
				if !dumb {
					_ = Beat(w)
					_ = http.NewResponseController(w).Flush()
				}
			}
		}
	}
}

func ending(lines string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", MediaType)
		_, _ = io.WriteString(w, lines)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func (s *stream) connected() bool { return s.Watch.State() == "connected" }

func TestFollow(t *testing.T) {
	revoked := make(chan Event)
	s := follow(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", MediaType+"; charset=utf-8")
		_ = Beat(w)
		_ = http.NewResponseController(w).Flush()
		for e := range revoked {
			_ = e.Write(w)
			_ = http.NewResponseController(w).Flush()
		}
	})
	eventually(t, "connected", s.connected)
	asked := s.Watch.Ask()
	revoked <- Event{Grant, "g"}
	eventually(t, "the event arrives", func() bool { return !s.Watch.Holds(asked, subject, time.Now()) })
	close(revoked) // the stream ends
	eventually(t, "connected again", func() bool { return s.connections.Load() > 1 })
}

// TestStreamIsNotTrusted: attack R11. What ends a stream, or is none, leaves the
// watch without trust and is tried again.
func TestStreamIsNotTrusted(t *testing.T) {
	answer := func(status int, media string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
		}
	}
	tests := map[string]struct {
		first  http.HandlerFunc
		reason string // in the log
	}{
		"ends":              {ending(":\n\n"), "it ended"},
		"breaks off":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"unknown event":     {serving("data: {\"kind\":\"other\",\"id\":\"1\"}\n\n", false), "kind"},
		"no event":          {serving("<html>\n", false), "neither"},
		"endless line":      {serving(": "+strings.Repeat("x", maxLine+1), false), "too long"},
		"a page":            {answer(200, "text/html"), "text/html"},
		"wrong credentials": {answer(401, "application/json"), "CLIENT_SECRET_FILE"},
		"out of order":      {answer(503, "application/json"), "503"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := follow(t, tt.first, serving(":\n\n", false))
			eventually(t, "connected after all", func() bool { return s.connections.Load() == 2 && s.connected() })
			if log := s.log.String(); !strings.Contains(log, tt.reason) || strings.Contains(log, "s%cret") {
				t.Errorf("the log does not say why (%s):\n%s", tt.reason, log)
			}
		})
	}
}

// TestDumbStream: attack R11. A stream on which nothing is heard is not trusted,
// and in the end another one is tried.
func TestDumbStream(t *testing.T) {
	t.Parallel()
	s := follow(t, serving(":\n\n", true), serving(":\n\n", false))
	eventually(t, "connected", s.connected)
	eventually(t, "lost", func() bool { return !s.connected() })
	if s.connections.Load() != 1 {
		t.Error("the stream was given up at the first silence")
	}
	eventually(t, "connected again", s.connected)
	log := s.log.String()
	if connected, lost := strings.Count(log, "stream connected"), strings.Count(log, "stream lost"); connected != 2 || lost != 1 {
		t.Errorf("each change is to be logged once: connected %d times, lost %d times\n%s", connected, lost, log)
	}
}

// TestRecovery: a server that is back is found well within two seconds, however
// long it was gone.
func TestRecovery(t *testing.T) {
	t.Parallel()
	var back atomic.Bool
	s := follow(t, func(w http.ResponseWriter, r *http.Request) {
		if !back.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		serving(":\n\n", false)(w, r)
	})
	eventually(t, "tried a few times", func() bool { return s.connections.Load() >= 5 })
	if got := strings.Count(s.log.String(), "stream lost"); got != 1 {
		t.Errorf("the outage was logged %d times", got)
	}
	back.Store(true)
	start := time.Now()
	eventually(t, "connected", s.connected)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("recovered after %s", took)
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	s := follow(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, serving(":\n\n", false))
	eventually(t, "connected at the second try", s.connected)
}
