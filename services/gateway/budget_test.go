package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudget(t *testing.T) {
	errSpent := errors.New("spent")
	b := newBudget(16, 3, errSpent) // of it 3 for a user, 8 for a client, 4 for a network, 8 for all of those
	of := func(user, client string) [2]holder { return [2]holder{{ofOneUser, user}, {ofOneClient, client}} }
	for i, step := range []struct {
		n    int // less than zero: given back
		of   [2]holder
		want error
	}{
		{3, of("john", "agent"), nil},
		{1, of("john", "agent"), overShare(ofOneUser)},
		{1, of("john", "other"), overShare(ofOneUser)},
		{3, of("jane", "agent"), nil},
		{3, of("ann", "agent"), overShare(ofOneClient)},
		{2, of("ann", "agent"), nil},
		{4, stranger("john"), nil}, // a name of another kind
		{1, stranger("john"), overShare(ofOneNetwork)},
		{4, [2]holder{}, nil}, // the gateway itself
		{1, of("bob", "other"), errSpent},
		{-3, of("john", "agent"), nil},
		{3, stranger("there"), nil},
		{-4, [2]holder{}, nil},
		{1, stranger("there"), nil},
		{1, stranger("elsewhere"), errSpent},
		{1, of("bob", "other"), nil},
		{-1, of("bob", "other"), nil},
		{-4, stranger("there"), nil},
		{-4, stranger("john"), nil},
		{-3, of("jane", "agent"), nil},
		{-2, of("ann", "agent"), nil},
	} {
		if step.n < 0 {
			b.giveBack(-step.n, step.of)
		} else if err := b.take(step.n, step.of); !errors.Is(err, step.want) {
			t.Errorf("step %d: got %v, want %v", i, err, step.want)
		}
	}
	if b.left != 16 || len(b.held) != 0 {
		t.Errorf("all was given back: %d are left, held are %v", b.left, b.held)
	}
}

// TestNobodyTakesAService: attack G13. A user, a client and a stranger take a
// part of the places at a service, and all others are served.
func TestNobodyTakesAService(t *testing.T) {
	d := start(t, "UPSTREAM_CONCURRENCY=16", "TOKEN_CACHE_TTL=1m") // 4 for a user, 8 for a client, 4 for an address
	for _, who := range []string{"john by agent", "jane by agent", "ann by agent", "bob by other"} {
		user, client, _ := strings.Cut(who, " by ")
		d.issue(user, map[string]any{"aud": testSite.APIResource(), "sub": user, "client_id": client})
	}
	arrived, answer := make(chan struct{}), make(chan struct{})
	d.api.serve(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "slow" {
			arrived <- struct{}{}
			<-answer
		}
	})
	get := func(path, token string) (*http.Response, string) {
		return d.do(t, "GET", testSite.APIResource()+path, "", "Authorization", "Bearer "+token)
	}
	var wg sync.WaitGroup
	tests := []struct {
		path, token string
		hold        int
		thenOver    string // whose requests are too many
	}{
		{"/stocks", "john", 4, "user"},
		{"/stocks", "jane", 4, "user"},
		{"/stocks", "ann", 0, "client"},
		{"/openapi.json", "", 4, "address"},
	}
	for _, tt := range tests {
		for range tt.hold {
			wg.Go(func() {
				if resp, body := get(tt.path+"?slow", tt.token); resp.StatusCode != http.StatusOK {
					t.Errorf("%s %s: got %d %s", tt.token, tt.path, resp.StatusCode, body)
				}
			})
			<-arrived
		}
		resp, body := get(tt.path, tt.token)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !strings.Contains(body, "requests of this "+tt.thenOver) {
			t.Errorf("G13 %s %s, one more: got %d %s, want a 503 for the %s", tt.token, tt.path, resp.StatusCode, body, tt.thenOver)
		}
		if resp, body := get("/stocks", "bob"); resp.StatusCode != http.StatusOK {
			t.Errorf("G13 somebody else: got %d %s", resp.StatusCode, body)
		}
	}
	close(answer)
	wg.Wait()
	for _, tt := range tests {
		if resp, _ := get(tt.path, tt.token); resp.StatusCode != http.StatusOK {
			t.Errorf("%s %s, afterwards: got %d", tt.token, tt.path, resp.StatusCode)
		}
	}
}

// TestBodiesAreBounded: attack G13. Bodies that are being sent take a number of
// bytes at most, those of strangers and of one network a part of it, whatever
// was sent of them.
func TestBodiesAreBounded(t *testing.T) {
	for name, length := range map[string]int64{"of a length": maxBody, "of no length": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { holdBodies(t, length) })
		})
	}
}

func holdBodies(t *testing.T, length int64) {
	const networks, each = 2, bodiesAtOnce / 4 / maxBody
	cfg := settings{Site: testSite, UpstreamConcurrency: 1024, RequestsPerUser: 1, RequestsPerClient: 1, RefusalsPerIP: 1}
	_, log := quietLog()
	quotas := newQuotas(cfg)
	service := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	h := routes(cfg)[0].handler(cfg, nil, newProofs(testSecret), quotas, service, log)
	post := func(ctx context.Context, network int, length int64, body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/token", body)
		r.RemoteAddr, r.ContentLength = fmt.Sprintf("192.0.2.%d:1234", network), length
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	release := make(chan struct{})
	var wg sync.WaitGroup
	for network := range networks {
		for range each {
			wg.Go(func() {
				if w := post(t.Context(), network, length, &lateBody{release, maxBody}); w.Code != http.StatusOK {
					t.Errorf("got %d %s", w.Code, w.Body)
				}
			})
		}
		synctest.Wait()
		if w := post(t.Context(), network, 1, strings.NewReader("x")); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("G13 one more byte of the same network: got %d, want 503 with Retry-After", w.Code)
		}
		want := http.StatusOK
		if network == networks-1 {
			want = http.StatusServiceUnavailable
		}
		if w := post(t.Context(), networks, 1, strings.NewReader("x")); w.Code != want || (want != http.StatusOK) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("G13 of another network, while %d send: got %d, want %d", network+1, w.Code, want)
		}
	}
	user := context.WithValue(t.Context(), phantomKey{}, phantom{Subject: "john", ClientID: "agent"})
	if w := post(user, 0, maxBody, strings.NewReader(strings.Repeat("a", maxBody))); w.Code != http.StatusOK {
		t.Errorf("G13 a user of a network that has no room: got %d, want 200", w.Code)
	}
	close(release)
	wg.Wait()
	if quotas.Bodies.left != bodiesAtOnce {
		t.Errorf("%d bytes are still held", bodiesAtOnce-quotas.Bodies.left)
	}
}

// lateBody comes when it is let go.
type lateBody struct {
	release <-chan struct{}
	left    int
}

// Read implements io.Reader.
func (b *lateBody) Read(p []byte) (int, error) {
	<-b.release
	if b.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

// TestSlowBodyTakesNoTimeOfTheService: attack G13. A client that is just fast
// enough leaves the service all of its time, so that no answer fails for it.
func TestSlowBodyTakesNoTimeOfTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := settings{Site: testSite, UpstreamConcurrency: 1, RequestsPerUser: 1, RequestsPerClient: 1, RefusalsPerIP: 1}
		_, log := quietLog()
		var left time.Duration
		service := roundTrip(func(r *http.Request) (*http.Response, error) {
			deadline, _ := r.Context().Deadline()
			left = time.Until(deadline)
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})
		h := routes(cfg)[0].handler(cfg, nil, newProofs(testSecret), newQuotas(cfg), service, log)
		release := make(chan struct{})
		time.AfterFunc(answerTime-time.Millisecond, func() { close(release) })
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/token", &lateBody{release, 1}))
		if left != answerTime {
			t.Errorf("the service had %s, want %s", left, answerTime)
		}
	})
}
