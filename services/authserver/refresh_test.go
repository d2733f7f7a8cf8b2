package authserver

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/grants"
)

// pair is what a token answer gave.
type pair struct{ access, refresh string }

func pairOf(a answer) pair {
	access, _ := a.JSON["access_token"].(string)
	refresh, _ := a.JSON["refresh_token"].(string)
	return pair{access, refresh}
}

// refresh sends a refresh token, with more parameters as name and value.
func (h *harness) refresh(client, token string, more ...string) answer {
	h.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {token}}
	for i := 0; i < len(more); i += 2 {
		form.Add(more[i], more[i+1])
	}
	return h.post(h.newBrowser(), "/token", form)
}

func (h *harness) active(token string) bool {
	h.Helper()
	return h.introspected(token)["active"] == true
}

// restart stops the server and returns another one with the same database.
func (h *harness) restart() *harness {
	h.Helper()
	h.http.Close()
	if err := h.db.Close(); err != nil {
		h.Fatal(err)
	}
	next := newHarness(h.TB, func(c *Config) { c.DatabaseFile = h.cfg.DatabaseFile })
	next.wait(h.offset)
	return next
}

// TestRefreshGrace: attacks R1, R2 and R8, both sides of the documented grace;
// and R5, the same with a restart before every step.
func TestRefreshGrace(t *testing.T) {
	const inside, ok, refused = grants.RefreshGrace - 2*time.Second, http.StatusOK, http.StatusBadRequest
	type step struct {
		after time.Duration
		send  int // which pair's refresh token; 0 is the one that the code gave
		want  int
	}
	tests := map[string]struct {
		steps []step
		live  []int // pairs whose access token is active in the end
	}{
		"refreshed twice":                               {[]step{{0, 0, ok}, {0, 1, ok}}, []int{0, 1, 2}},
		"R8 the answer was lost":                        {[]step{{0, 0, ok}, {inside, 0, ok}}, []int{0, 2}},
		"R8 two answers were lost":                      {[]step{{0, 0, ok}, {0, 0, ok}, {0, 0, ok}}, []int{0, 3}},
		"R8 the answer was lost, and life goes on":      {[]step{{0, 0, ok}, {inside, 0, ok}, {time.Minute, 2, ok}, {time.Minute, 3, ok}}, []int{0, 2, 3, 4}},
		"R8 the client kept the answer that came first": {[]step{{0, 0, ok}, {0, 0, ok}, {0, 1, ok}, {time.Minute, 3, ok}}, []int{0, 3, 4}},
		"R1 after the grace":                            {[]step{{0, 0, ok}, {grants.RefreshGrace, 0, refused}, {0, 1, refused}}, nil},
		"R1 the thief was first":                        {[]step{{0, 0, ok}, {0, 1, ok}, {time.Minute, 0, refused}, {0, 2, refused}}, nil},
		"R1 the successor was used, in the grace":       {[]step{{0, 0, ok}, {0, 1, ok}, {0, 0, refused}, {0, 2, refused}}, nil},
		"R1 the grace does not begin anew":              {[]step{{0, 0, ok}, {inside, 0, ok}, {inside, 0, refused}, {0, 2, refused}}, nil},
		"R1 nor for what was given in it":               {[]step{{0, 0, ok}, {inside, 0, ok}, {inside, 1, refused}, {0, 2, refused}}, nil},
		"R1 nor by taking turns":                        {[]step{{0, 0, ok}, {0, 0, ok}, {0, 1, ok}, {0, 2, ok}, {grants.RefreshGrace, 3, refused}, {0, 4, refused}}, nil},
		"R1 a superseded token after its heir was used": {[]step{{0, 0, ok}, {0, 0, ok}, {0, 2, ok}, {0, 1, refused}, {0, 3, refused}}, nil},
	}
	for name, tt := range tests {
		for _, restarts := range []bool{false, true} {
			if restarts {
				name += " (R5 with restarts)"
			}
			t.Run(name, func(t *testing.T) {
				h := newHarness(t)
				client := h.agent()
				pairs := []pair{pairOf(h.tokens(client, john))}
				for i, s := range tt.steps {
					if restarts {
						h = h.restart()
					}
					h.wait(s.after)
					a := h.refresh(client, pairs[s.send].refresh)
					switch {
					case a.Status != s.want:
						t.Fatalf("step %d: %d %s, want %d", i, a.Status, a.Body, s.want)
					case a.Status == ok:
						pairs = append(pairs, pairOf(a))
					default:
						wantError(h, "reuse", a, 400, "invalid_grant")
					}
				}
				var live []int
				for i, p := range pairs {
					if h.active(p.access) {
						live = append(live, i)
					}
				}
				if diff := cmp.Diff(tt.live, live); diff != "" {
					t.Errorf("active access tokens (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestRefreshGraceIsForTheClient: what a stranger or a mistake does in the
// grace changes nothing for the client.
func TestRefreshGraceIsForTheClient(t *testing.T) {
	h := newHarness(t)
	client, other := h.agent(), h.agent()
	first := pairOf(h.tokens(client, john))
	second := pairOf(h.refresh(client, first.refresh))
	wantError(h, "another client", h.refresh(other, first.refresh), 400, "invalid_grant")
	wantError(h, "no client", h.refresh("", first.refresh), 401, "invalid_client")
	wantError(h, "R4 a wider scope", h.refresh(client, first.refresh, "scope", "stocks/read email"), 400, "invalid_scope")
	wantError(h, "R4 another resource", h.refresh(client, first.refresh, "resource", h.cfg.APIResource()), 400, "invalid_target")
	if !h.active(second.access) {
		t.Fatal("the successor ended")
	}
	wantError(h, "an access token", h.refresh(client, second.access), 400, "invalid_grant")
	if a := h.refresh(client, second.refresh); a.Status != http.StatusOK {
		t.Errorf("the successor's refresh token: %d %s", a.Status, a.Body)
	}
	// A stale token is one whatever else is wrong with the request.
	h.wait(grants.RefreshGrace)
	wantError(h, "R1 stale and a wider scope", h.refresh(client, first.refresh, "scope", "stocks/read email"), 400, "invalid_grant")
	if h.active(second.access) {
		t.Error("R1: the family outlived a reuse")
	}
	if !strings.Contains(h.logs.String(), "refresh token reused") || strings.Contains(h.logs.String(), first.refresh) {
		t.Error("the log does not tell of the reuse, or has the token in it")
	}
}

// TestParallelRefresh: attack R2.
func TestParallelRefresh(t *testing.T) {
	h := newHarness(t)
	client := h.agent()
	first := pairOf(h.tokens(client, john))
	var mu sync.Mutex
	var pairs []pair
	given := parallel(50, func() bool {
		a := h.refresh(client, first.refresh)
		mu.Lock()
		defer mu.Unlock()
		if a.Status == http.StatusOK {
			pairs = append(pairs, pairOf(a))
		}
		return a.Status == http.StatusOK
	})
	if given != 50 {
		t.Errorf("%d of 50 parallel refreshes in the grace were answered, so the client was thrown out", given)
	}
	var live []pair
	for _, p := range pairs {
		if h.active(p.access) {
			live = append(live, p)
		}
	}
	if len(live) != 1 {
		t.Fatalf("R2: %d live successors, want one", len(live))
	}
	h.wait(grants.RefreshGrace)
	if a := h.refresh(client, live[0].refresh); a.Status != http.StatusOK {
		t.Errorf("the one live successor cannot be used: %d %s", a.Status, a.Body)
	}
	for _, p := range pairs {
		if p != live[0] {
			wantError(h, "a successor that was replaced", h.refresh(client, p.refresh), 400, "invalid_grant")
			break
		}
	}
	if h.active(live[0].access) {
		t.Error("R1: the family outlived the use of a replaced successor")
	}
	if got := parallel(50, func() bool { return h.refresh(client, first.refresh).Status == http.StatusOK }); got != 0 {
		t.Errorf("%d parallel reuses after the grace succeeded", got)
	}
}
