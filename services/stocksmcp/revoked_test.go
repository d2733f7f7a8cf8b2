package stocksmcp

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"demo.example/services/internal/revocation"
)

// TestExchangeIsForgotten: attack R11. What the authorization server takes back
// is exchanged anew, which it then refuses (X4).
func TestExchangeIsForgotten(t *testing.T) {
	event := func(kind revocation.Kind, id string) func(*revocation.Watch) {
		return func(w *revocation.Watch) { w.Ended(revocation.Event{Kind: kind, ID: id}) }
	}
	tests := map[string]struct {
		happens   func(*revocation.Watch)
		after     time.Duration
		exchanges int64
	}{
		"nothing":                  {func(*revocation.Watch) {}, 0, 1},
		"R11 the token":            {event(revocation.Token, "origin"), 0, 2},
		"R11 the grant":            {event(revocation.Grant, "g"), 0, 2},
		"R11 the user":             {event(revocation.User, "u"), 0, 2},
		"R11 the client":           {event(revocation.Client, "c"), 0, 2},
		"another token":            {event(revocation.Token, "other"), 0, 1},
		"stream lost, at once":     {(*revocation.Watch).Lost, revocation.Bound - 1, 1},
		"R11 stream lost":          {(*revocation.Watch).Lost, revocation.Bound, 2},
		"R11 stream silent":        {func(*revocation.Watch) {}, revocation.Bound, 2},
		"R11 stream began anew":    {(*revocation.Watch).Connected, revocation.Bound, 2},
		"stream alive, long after": {(*revocation.Watch).Heard, 600 * time.Millisecond, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, n, now := countingExchange(t, "900", nil)
			for i := range 2 {
				if _, err := e.token(t.Context(), "subject", now.Add(time.Hour), "audience", "scope"); err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					tt.happens(e.Revoked)
					*now = now.Add(tt.after)
				}
			}
			if n.Load() != tt.exchanges {
				t.Errorf("%d exchanges, want %d", n.Load(), tt.exchanges)
			}
		})
	}
}

// TestRevokedDuringExchange: attack R11. The answer was on its way when its
// token was revoked, so it is not remembered.
func TestRevokedDuringExchange(t *testing.T) {
	release := make(chan struct{})
	e, n, now := countingExchange(t, "900", release)
	done := make(chan error)
	ask := func() {
		_, err := e.token(t.Context(), "subject", now.Add(time.Hour), "audience", "scope")
		done <- err
	}
	go ask()
	for n.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	e.Revoked.Ended(revocation.Event{Kind: revocation.Grant, ID: "g"})
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go ask()
	if err := <-done; err != nil || n.Load() != 2 {
		t.Errorf("%d exchanges (%v), want another one", n.Load(), err)
	}
}

func TestHealth(t *testing.T) {
	revoked := revocation.NewWatch(exchangeTTL, time.Now)
	for want, happens := range map[string]func(){
		`{"status":"ok","revocations":"connected"}` + "\n": revoked.Connected,
		`{"status":"ok","revocations":"lost"}` + "\n":      revoked.Lost,
	} {
		happens()
		rec := httptest.NewRecorder()
		healthz(revoked)(rec, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		body, _ := io.ReadAll(rec.Body)
		if rec.Code != http.StatusOK || string(body) != want {
			t.Errorf("got %d %s, want %s", rec.Code, body, want)
		}
	}
}
