package clients

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/store"
)

// TestKnownDocument: whatever strangers use up, at a host and in all, a client
// that a user let in is found (D15), and its own host is not called without end
// while it is down.
func TestKnownDocument(t *testing.T) {
	const known, other = "https://agent.example/c.json", "https://agent.example/other.json"
	r, m := newRegistry(store.Client{ID: known, Registration: store.RegisteredByDocument})
	calls, down := 0, false
	clock := now
	r.Documents = NewDocuments(&http.Client{Transport: asked(func(req *http.Request) (*http.Response, error) {
		calls++
		id := req.URL.String()
		if down || id != known && id != other {
			return nil, errors.New("nothing there")
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(document(id)))}, nil
	})}, func() time.Time { return clock })
	resolves := func(want int, id string) {
		t.Helper()
		calls = 0
		for range 2 * failuresPerHost {
			if _, err := r.Resolve(t.Context(), id); (err == nil) != (id == known && !down) || err != nil && !errors.Is(err, ErrUnknown) {
				t.Fatalf("%s: %v", id, err)
			}
		}
		if calls != want {
			t.Errorf("%s: %d fetches, want %d", id, calls, want)
		}
	}
	for i := range failuresTotal { // at agent.example, and at many hosts
		_, _ = r.Resolve(t.Context(), fmt.Sprintf("https://agent.example/%d", i))
		_, _ = r.Resolve(t.Context(), fmt.Sprintf("https://%d.example/c.json", i))
	}
	resolves(1, known)
	resolves(0, other) // nobody let it in
	clock = clock.Add(59 * time.Second)
	down = true
	resolves(0, known+"?v=2")
	r.Documents.cache.Purge()
	resolves(failuresPerKnown, known)
	m.down = errors.New("the disk is full")
	if _, err := r.Resolve(t.Context(), known); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("an outage looks like an unknown client: %v", err)
	}
}

// asked answers in the place of all hosts.
type asked func(*http.Request) (*http.Response, error)

func (f asked) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
