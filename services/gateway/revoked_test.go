package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"demo.example/services/internal/revocation"
)

// named answers with a phantom that events can name.
func named(token string) (phantom, error) {
	return phantom{
		JWT: "jwt-of-" + token, Expires: time.Now().Add(time.Hour),
		TokenID: token, GrantID: "g", Subject: "u", ClientID: "c",
	}, nil
}

// TestCacheListens: attack R11. With the stream an answer is used for longer,
// and no longer than until an event about it.
func TestCacheListens(t *testing.T) {
	alive := func(w *revocation.Watch, d time.Duration) {
		for range d / revocation.Heartbeat {
			time.Sleep(revocation.Heartbeat)
			w.Heard()
		}
	}
	event := func(kind revocation.Kind, id string) func(*revocation.Watch) {
		return func(w *revocation.Watch) { w.Ended(revocation.Event{Kind: kind, ID: id}) }
	}
	tests := map[string]struct {
		happens func(*revocation.Watch)
		asked   int64
	}{
		"nothing for a while":       {func(w *revocation.Watch) { alive(w, 59*time.Second) }, 1},
		"the end of its time":       {func(w *revocation.Watch) { alive(w, time.Minute) }, 2},
		"R11 the token":             {event(revocation.Token, tokenA), 2},
		"R11 the grant":             {event(revocation.Grant, "g"), 2},
		"R11 the user":              {event(revocation.User, "u"), 2},
		"R11 the client":            {event(revocation.Client, "c"), 2},
		"another user":              {event(revocation.User, "x"), 1},
		"R11 the stream falls dumb": {func(*revocation.Watch) { time.Sleep(revocation.Bound) }, 2},
		"R11 the stream is lost":    {func(w *revocation.Watch) { alive(w, 5*time.Second); w.Lost() }, 2},
		"R11 another stream":        {func(w *revocation.Watch) { alive(w, 5*time.Second); w.Lost(); w.Connected() }, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, w := &lookups{answer: named}, noStream()
				w.Connected()
				c := newTokenCache(minTokenCacheBytes, w, time.Now, l.lookup)
				_, _, _ = c.get(t.Context(), tokenA, res)
				tt.happens(w)
				if _, cached, err := c.get(t.Context(), tokenA, res); l.n.Load() != tt.asked || cached != (tt.asked == 1) || err != nil {
					t.Errorf("asked %d times (cached: %t, %v), want %d", l.n.Load(), cached, err, tt.asked)
				}
			})
		})
	}
}

// TestRevokedWhileAsked: attack R11. The authorization server judged the token
// just before it was revoked, and its answer is slower than the event. Nobody
// gets it, and it is not kept.
func TestRevokedWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var revoked atomic.Bool
		w := noStream()
		w.Connected()
		l := &lookups{answer: func(token string) (phantom, error) {
			if revoked.Load() {
				return phantom{}, refusal("not active")
			}
			time.Sleep(300 * time.Millisecond)
			return named(token)
		}}
		c := newTokenCache(minTokenCacheBytes, w, time.Now, l.lookup)
		passed := make(chan error)
		for range 2 { // the one that asks, and one that joins it
			go func() {
				_, _, err := c.get(t.Context(), tokenA, res)
				passed <- err
			}()
		}
		time.Sleep(100 * time.Millisecond)
		revoked.Store(true)
		w.Ended(revocation.Event{Kind: revocation.Grant, ID: "g"})
		for range 2 {
			if err := <-passed; err == nil {
				t.Error("R11 a token passed that was known to be revoked")
			}
		}
		if _, _, err := c.get(t.Context(), tokenA, res); err == nil {
			t.Error("R11 the answer was kept")
		}
	})
}

// TestStreamAtTheGateway: attack R11, through the running gateway. What is
// heard on the stream counts for the next request; what the gateway says about
// itself follows the stream.
func TestStreamAtTheGateway(t *testing.T) {
	d := start(t)
	events := make(chan revocation.Event)
	d.login.mu.Lock()
	d.login.revocations = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", revocation.MediaType)
		beat := time.NewTicker(revocation.Heartbeat)
		defer beat.Stop()
		for err := revocation.Beat(w); err == nil; err = http.NewResponseController(w).Flush() {
			select {
			case <-r.Context().Done():
				return
			case <-beat.C:
				_ = revocation.Beat(w)
			case e, more := <-events:
				if !more {
					return
				}
				_ = e.Write(w)
			}
		}
	}
	d.login.mu.Unlock()
	state := func() string {
		resp, err := http.Get("http://" + d.healthAddr + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var health struct{ Status, Revocations string }
		body, _ := io.ReadAll(resp.Body)
		if err := json.Unmarshal(body, &health); err != nil || resp.StatusCode != http.StatusOK || health.Status != "ok" {
			t.Fatalf("health: %d %s", resp.StatusCode, body)
		}
		return health.Revocations
	}
	become := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); state() != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("revocations are %s, want %s:\n%s", state(), want, d.log)
			}
		}
	}
	call := func() int {
		resp, _ := d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer token")
		return resp.StatusCode
	}
	become("connected")
	d.issue("token", map[string]any{"jti": "t1", "grant_id": "g1"})
	for range 2 {
		if status := call(); status != http.StatusOK {
			t.Fatalf("a good token: %d", status)
		}
	}
	d.answer("token", nil)
	if status := call(); status != http.StatusOK {
		t.Fatalf("from the cache: %d", status)
	}
	events <- revocation.Event{Kind: revocation.Grant, ID: "g1"}
	for deadline := time.Now().Add(revocation.Bound); call() == http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("R11 the token passes long after the event")
		}
	}
	close(events)
	become("lost")
	if got := len(d.logLines("revocation stream connected")); got < 1 {
		t.Errorf("logged %d times that the stream is connected", got)
	}
	if len(d.logLines("revocation stream lost; answers are remembered for a second only until it is back")) == 0 {
		t.Error("not logged that the stream was lost")
	}
}
