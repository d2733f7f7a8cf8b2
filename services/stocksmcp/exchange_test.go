package stocksmcp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"demo.example/services/internal/revocation"
)

// jwtOf returns a token, not signed, as the authorization server would exchange
// it for the user's token of the same name.
func jwtOf(jti string) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"ES256"}`) + "." + part(`{"jti":"`+jti+`","grant_id":"g","sub":"u","client_id":"c"}`) + "." + part("signature")
}

// countingExchange answers each request with a token of its own number. It
// hears of revocations.
func countingExchange(t *testing.T, expiresIn string, wait <-chan struct{}) (*exchange, *atomic.Int64, *time.Time) {
	t.Helper()
	n, now := new(atomic.Int64), time.Now()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		number := n.Add(1)
		if wait != nil {
			<-wait
		}
		_, _ = w.Write([]byte(`{"access_token":"` + jwtOf(fmt.Sprint("origin.", number)) + `","token_type":"bearer",` +
			`"issued_token_type":"urn:ietf:params:oauth:token-type:jwt","expires_in":` + expiresIn + `}`))
	}))
	t.Cleanup(srv.Close)
	clock := func() time.Time { return now }
	revoked := revocation.NewWatch(exchangeTTL, clock)
	revoked.Connected()
	e := newExchange(exchangeConfig{URL: srv.URL, ClientID: "c", Secret: "s", Client: http.DefaultClient, Revoked: revoked, Now: clock})
	return e, n, &now
}

func TestExchangeIsRemembered(t *testing.T) {
	tests := map[string]struct {
		expiresIn string        // of the new token, seconds
		subject   time.Duration // until the subject token ends
		after     time.Duration
		want      int64 // exchanges in all
	}{
		"at once":                     {"900", time.Hour, 0, 1},
		"for a minute":                {"900", time.Hour, exchangeTTL - 1, 1},
		"not longer":                  {"900", time.Hour, exchangeTTL, 2},
		"just before the new ends":    {"40", time.Hour, 40*time.Second - exchangeSkew + 1, 2},
		"just before the other ends":  {"900", 40 * time.Second, 40*time.Second - exchangeSkew + 1, 2},
		"lives shorter than the skew": {"10", time.Hour, 0, 2},
		"does not say how long":       {"0", time.Hour, 0, 2},
		"negative":                    {"-5", time.Hour, 0, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, n, now := countingExchange(t, tt.expiresIn, nil)
			expires := now.Add(tt.subject)
			for range 2 {
				if _, err := e.token(t.Context(), "subject", expires, "audience", "scope"); err != nil {
					t.Fatal(err)
				}
				*now = now.Add(tt.after)
				e.Revoked.Heard()
			}
			if got := n.Load(); got != tt.want {
				t.Errorf("%d exchanges, want %d", got, tt.want)
			}
		})
	}
}

// TestExchangeIsKeyed: attack X13, by subject token, audience and scope.
func TestExchangeIsKeyed(t *testing.T) {
	e, n, now := countingExchange(t, "900", nil)
	seen := map[string]bool{}
	for _, k := range [][3]string{{"a", "x", "s"}, {"b", "x", "s"}, {"a", "y", "s"}, {"a", "x", "t"}, {"a", "x", "s"}} {
		got, err := e.token(t.Context(), k[0], now.Add(time.Hour), k[1], k[2])
		if err != nil {
			t.Fatal(err)
		}
		seen[got] = true
	}
	if len(seen) != 4 || n.Load() != 4 {
		t.Errorf("%d tokens, %d exchanges, want 4", len(seen), n.Load())
	}
}

func TestExchangesTogetherAreOne(t *testing.T) {
	release := make(chan struct{})
	e, n, now := countingExchange(t, "900", release)
	expires := now.Add(time.Hour)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if got, err := e.token(t.Context(), "subject", expires, "audience", "scope"); err != nil || got != jwtOf("origin.1") {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
	time.AfterFunc(100*time.Millisecond, func() { close(release) })
	group.Wait()
	if n.Load() != 1 {
		t.Errorf("%d exchanges", n.Load())
	}
}

// TestExchangeSurvivesItsFirstCaller: the one who began it gives up, the other
// still gets the token.
func TestExchangeSurvivesItsFirstCaller(t *testing.T) {
	release := make(chan struct{})
	e, n, now := countingExchange(t, "900", release)
	expires := now.Add(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := e.token(ctx, "subject", expires, "audience", "scope")
		first <- err
	}()
	for n.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-first; !errors.Is(err, errUnavailable) {
		t.Errorf("first: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	if got, err := e.token(t.Context(), "subject", expires, "audience", "scope"); err != nil || got != jwtOf("origin.1") {
		t.Errorf("second: %q, %v", got, err)
	}
}

func TestExchangeCacheIsBounded(t *testing.T) {
	e, _, now := countingExchange(t, "900", nil)
	for i := range exchangeCacheSize + 10 {
		e.cache.Add(string(rune(i)), exchanged{token: "x", until: now.Add(time.Hour)})
	}
	if got := e.cache.Len(); got != exchangeCacheSize {
		t.Errorf("%d entries", got)
	}
}

func TestExchangeWithoutServer(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	e := newExchange(exchangeConfig{URL: srv.URL, Client: http.DefaultClient, Revoked: revocation.NewWatch(exchangeTTL, time.Now), Now: time.Now})
	if _, err := e.token(t.Context(), "subject", time.Now().Add(time.Hour), "audience", "scope"); !errors.Is(err, errUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestExchangeMustExchange: the subject token does not travel on, even if the
// authorization server hands it back.
func TestExchangeMustExchange(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"access_token":"` + r.PostFormValue("subject_token") + `","token_type":"Bearer",` +
			`"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","expires_in":900}`))
	}))
	defer srv.Close()
	e := newExchange(exchangeConfig{URL: srv.URL, Client: http.DefaultClient, Revoked: revocation.NewWatch(exchangeTTL, time.Now), Now: time.Now})
	if got, err := e.token(t.Context(), "subject", time.Now().Add(time.Hour), "audience", "scope"); !errors.Is(err, errUnavailable) {
		t.Errorf("got %q, %v", got, err)
	}
}
