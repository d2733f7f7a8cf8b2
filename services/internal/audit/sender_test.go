package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/httpserver"
)

// collector stands in for the authorization server.
type collector struct {
	mu     sync.Mutex
	status int // 0: keep the events
	got    []Event
	tries  int
}

// RoundTrip implements http.RoundTripper.
func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries++
	rec := httptest.NewRecorder()
	var batch []Event
	body, err := io.ReadAll(r.Body)
	if id, secret, ok := r.BasicAuth(); err != nil || !ok || id != "gateway" || secret != "s%2Fcret" || len(body) > 64<<10 || json.Unmarshal(body, &batch) != nil {
		rec.WriteHeader(http.StatusTeapot)
		return rec.Result(), nil
	}
	if c.status == 0 {
		c.got = append(c.got, batch...)
		rec.WriteHeader(http.StatusNoContent)
	} else {
		rec.WriteHeader(c.status)
	}
	return rec.Result(), nil
}

func (c *collector) set(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

func (c *collector) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, e := range c.got {
		ids = append(ids, e.ID+e.Detail["events"])
	}
	return ids
}

// start runs a sender until the returned function is called.
func start(c *collector) (s *Sender, stop func()) {
	s = NewSender("gateway", url.URL{Scheme: "http", Host: "authserver"}, "s/cret", &http.Client{Transport: c}, slog.New(slog.DiscardHandler))
	return s, s.Start()
}

func TestSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{}
		s, stop := start(c)
		ctx := httpserver.WithRequestID(t.Context(), "request-1")
		s.Record(ctx, Event{Kind: Access, Decision: Refused, Reason: "expired"})
		time.Sleep(time.Second)
		synctest.Wait()
		if len(c.got) != 1 {
			t.Fatalf("%d events", len(c.got))
		}
		e := c.got[0]
		if e.ID == "" || e.Time.IsZero() || e.Service != "gateway" || e.Request != "request-1" || e.Reason != "expired" {
			t.Errorf("%+v", e)
		}

		// What comes just before the end is sent.
		s.Record(ctx, Event{ID: "last", Kind: Access})
		stop()
		if ids := c.ids(); ids[len(ids)-1] != "last" {
			t.Errorf("%v", ids)
		}
	})
}

// TestOutage: events wait for the trail to come back, in their order.
func TestOutage(t *testing.T) {
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusUnauthorized, http.StatusFound} {
		synctest.Test(t, func(t *testing.T) {
			c := &collector{status: status}
			s, stop := start(c)
			var want []string
			for i := range 300 {
				id := fmt.Sprintf("event-%d", i)
				want = append(want, id)
				s.Record(t.Context(), Event{ID: id, Reason: strings.Repeat("x", 1000)})
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if c.tries < 5 || c.tries > 30 {
				t.Errorf("%d: %d tries in a minute", status, c.tries)
			}
			c.set(0)
			time.Sleep(2 * maxBackoff)
			stop()
			if diff := cmp.Diff(want, c.ids()); diff != "" {
				t.Errorf("%d: %s", status, diff)
			}
		})
	}
}

// TestLost: what cannot be kept is counted, and the trail says so, and of whom.
func TestLost(t *testing.T) {
	tests := map[string]func(s *Sender, c *collector) (want []string){
		"too large": func(s *Sender, _ *collector) []string {
			long := strings.Repeat("<", maxEvent) // escaped, each takes six bytes
			s.Record(context.Background(), Event{ID: "large", Reason: long, Client: long})
			return []string{" 1"}
		},
		"too many": func(s *Sender, c *collector) []string {
			c.set(503)
			lost := 0
			for lost < 20 {
				s.Record(context.Background(), Event{Decision: Allowed, User: "user-1", Reason: strings.Repeat("x", maxField)})
				s.mu.Lock()
				lost = s.lost["user-1"]
				s.mu.Unlock()
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			c.set(0)
			return []string{"user-1 " + strconv.Itoa(lost)}
		},
		"a flood of strangers": func(s *Sender, _ *collector) []string {
			for range 1050 {
				s.Record(context.Background(), Event{Kind: Access, Decision: Refused, Reason: "unknown token"})
			}
			return []string{" 50"}
		},
		"a flood of two users": func(s *Sender, _ *collector) []string {
			for range 650 {
				s.Record(context.Background(), Event{Kind: ToolCall, Decision: Allowed, User: "user-1"})
			}
			for range 670 {
				s.Record(context.Background(), Event{Kind: ToolCall, Decision: Allowed, User: "user-2"})
			}
			return []string{"user-1 50", "user-2 70"}
		},
		"of many users, more than fit into a batch": func(s *Sender, _ *collector) (want []string) {
			for i := range 100 {
				user := fmt.Sprintf("user-%02d", i) + strings.Repeat("x", maxField-10)
				for range 601 {
					s.quotas.Take(Event{Kind: ToolCall, Decision: Allowed, User: user}, s.now())
				}
				s.Record(context.Background(), Event{Kind: ToolCall, Decision: Allowed, User: user})
				want = append(want, user+" 1")
			}
			return want
		},
		"refused": func(s *Sender, c *collector) []string {
			c.set(400)
			s.Record(context.Background(), Event{ID: "bad"})
			time.Sleep(flushEvery + time.Millisecond)
			synctest.Wait()
			c.set(0)
			return []string{" 1"}
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &collector{}
				s, stop := start(c)
				want := do(s, c)
				time.Sleep(2 * maxBackoff)
				stop()
				var got []string
				for _, e := range c.got {
					if e.Kind == Lost {
						got = append(got, e.User+" "+e.Detail["events"])
					}
				}
				slices.Sort(got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestFloodOfReports: what is lost all the time is told now and then.
func TestFloodOfReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &collector{}
		s, stop := start(c)
		const flood, each = time.Minute, 10 * time.Millisecond
		for range flood / each {
			s.Record(t.Context(), Event{Kind: ToolCall, Decision: Allowed, User: "user-1"})
			time.Sleep(each)
		}
		stop()
		reports, lost := 0, 0
		for _, e := range c.got {
			if e.Kind == Lost {
				n, _ := strconv.Atoi(e.Detail["events"])
				reports, lost = reports+1, lost+n
			}
		}
		if kept := len(c.got) - reports; kept > 661 || kept+lost != int(flood/each) || reports > int(flood/reportEvery)+1 {
			t.Errorf("%d kept, %d lost, in %d reports", kept, lost, reports)
		}
	})
}
