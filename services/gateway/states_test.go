package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestStates: each service is asked for itself, a slow one holds nobody up for
// longer than the time-out, and nobody's visit asks again within two seconds.
func TestStates(t *testing.T) {
	var asked atomic.Int32
	serve := func(h http.HandlerFunc) url.URL {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if r.URL.Path != "/healthz" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			h(w, r)
		}))
		t.Cleanup(server.Close)
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		return *u
	}
	well := serve(func(http.ResponseWriter, *http.Request) {})
	elsewhere := serve(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, well.String(), http.StatusFound) })
	ill := serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	slow := serve(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	now := time.Now()
	s := newStates([]route{
		{Service: "Well", Upstream: well}, {Service: "Well, by another name", Upstream: well}, {Service: "Elsewhere", Upstream: elsewhere},
		{Service: "Ill", Upstream: ill}, {Service: "Slow", Upstream: slow}, {Service: "Gone", Upstream: url.URL{Scheme: "http", Host: "127.0.0.1:1"}},
	}, http.DefaultTransport, func() time.Time { return now })

	begun := time.Now()
	want := []state{
		{"Well", true, "runs"}, {"Elsewhere", false, "answers that it cannot work"}, {"Ill", false, "answers that it cannot work"},
		{"Slow", false, "does not answer"}, {"Gone", false, "does not answer"},
	}
	if diff := cmp.Diff(want, s.current(t.Context())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if took := time.Since(begun); took > 10*stateTimeout {
		t.Errorf("took %s", took)
	}
	before := asked.Load()
	now = now.Add(stateTTL - 1)
	s.current(t.Context())
	if asked.Load() != before {
		t.Error("asked again within two seconds")
	}
	now = now.Add(1)
	s.current(t.Context())
	if asked.Load() != before+4 {
		t.Errorf("asked %d services after two seconds, want 4", asked.Load()-before)
	}
}

// TestLandingPageShowsStates: what is down is said to be down, by name.
func TestLandingPageShowsStates(t *testing.T) {
	d := start(t)
	d.api.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	_, body := d.do(t, "GET", testSite.Origin("")+"/", "")
	body = strings.Join(strings.Fields(body), " ")
	for _, want := range []string{
		`<dt>The gateway</dt><dd class="up">runs`, `<dt>The MCP server</dt><dd class="up">runs`, `<dt>The inbox</dt><dd class="up">runs`,
		`<dt>The stocks API</dt><dd class="down">answers that it cannot work`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s: %s", want, body)
		}
	}
}
