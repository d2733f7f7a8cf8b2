package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"demo.example/services/internal/revocation"
)

const (
	tokenA = "token-a"
	res    = "https://mcp.example/"
)

// lookups counts questions and answers each with the phantom of the token.
type lookups struct {
	n      atomic.Int64
	answer func(token string) (phantom, error)
}

func (l *lookups) lookup(ctx context.Context, token, _ string) (phantom, error) {
	l.n.Add(1)
	p, err := l.answer(token)
	if ctx.Err() != nil {
		return phantom{}, ctx.Err()
	}
	return p, err
}

func active(expires time.Duration) func(string) (phantom, error) {
	return func(token string) (phantom, error) {
		return phantom{JWT: "jwt-of-" + token, Expires: time.Now().Add(expires)}, nil
	}
}

// noStream is a watch that hears of nothing.
func noStream() *revocation.Watch { return revocation.NewWatch(time.Minute, time.Now) }

func TestCacheLifetime(t *testing.T) {
	tests := map[string]struct {
		answer func(string) (phantom, error)
		after  time.Duration // between two requests
		asked  int64         // in total
	}{
		"within the time to live":     {active(time.Hour), 999 * time.Millisecond, 1},
		"R11 at the end of it":        {active(time.Hour), time.Second, 2},
		"R11 token expires before":    {active(500 * time.Millisecond), 500 * time.Millisecond, 2},
		"refusal, within a second":    {func(string) (phantom, error) { return phantom{}, refusal("no") }, 999 * time.Millisecond, 1},
		"R11 refusal, a second later": {func(string) (phantom, error) { return phantom{}, refusal("no") }, time.Second, 2},
		"errors are never remembered": {func(string) (phantom, error) { return phantom{}, errors.New("outage") }, 0, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lookups{answer: tt.answer}
				c := newTokenCache(minTokenCacheBytes, noStream(), time.Now, l.lookup)
				first, _, firstErr := c.get(t.Context(), tokenA, res)
				time.Sleep(tt.after)
				second, cached, secondErr := c.get(t.Context(), tokenA, res)
				if l.n.Load() != tt.asked || cached != (tt.asked == 1) {
					t.Errorf("asked %d times (cached: %t), want %d", l.n.Load(), cached, tt.asked)
				}
				if first.JWT != second.JWT || fmt.Sprint(firstErr) != fmt.Sprint(secondErr) {
					t.Errorf("the answers differ: %v %v, %v %v", first, firstErr, second, secondErr)
				}
			})
		})
	}
}

func TestCacheIsPerTokenAndResource(t *testing.T) {
	l := &lookups{answer: active(time.Hour)}
	c := newTokenCache(minTokenCacheBytes, noStream(), time.Now, l.lookup)
	for _, k := range [][2]string{{"a", "r"}, {"a", "s"}, {"b", "r"}} {
		p, cached, err := c.get(t.Context(), k[0], k[1])
		if err != nil || cached || p.JWT != "jwt-of-"+k[0] {
			t.Errorf("%v: got %v, cached %t, %v", k, p, cached, err)
		}
	}
}

func TestRandomTokensEvictNothing(t *testing.T) {
	l := &lookups{answer: func(token string) (phantom, error) {
		if token == tokenA {
			return active(time.Hour)(token)
		}
		return phantom{}, refusal("not active")
	}}
	c := newTokenCache(minTokenCacheBytes, noStream(), time.Now, l.lookup)
	_, _, _ = c.get(t.Context(), tokenA, res)
	for i := range 3 * maxRefusals {
		_, _, _ = c.get(t.Context(), fmt.Sprint(i), res)
	}
	if _, cached, err := c.get(t.Context(), tokenA, res); !cached || err != nil {
		t.Errorf("R17 the good token was pushed out (%v)", err)
	}
	if got := c.refused.Len(); got != maxRefusals {
		t.Errorf("R17 %d refusals are kept, want at most %d", got, maxRefusals)
	}
}

func TestRequestsThatArriveTogetherAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lookups{answer: func(token string) (phantom, error) {
			time.Sleep(500 * time.Millisecond)
			return active(time.Hour)(token)
		}}
		c := newTokenCache(minTokenCacheBytes, noStream(), time.Now, l.lookup)
		// The one that asks goes away; all get the answer.
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, err := c.get(ctx, tokenA, res); err != nil {
				t.Errorf("got %v, want the answer: what was asked counts", err)
			}
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				if p, _, err := c.get(t.Context(), tokenA, res); err != nil || p.JWT != "jwt-of-"+tokenA {
					t.Errorf("got %v, %v", p, err)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		if l.n.Load() != 1 {
			t.Errorf("asked %d times, want once", l.n.Load())
		}
	})
}

// TestSlowAnswerIsNotTooOld revokes a token after the authorization server
// judged it and before its answer arrives.
func TestSlowAnswerIsNotTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var revoked atomic.Bool
		l := &lookups{answer: func(token string) (phantom, error) {
			if revoked.Load() {
				return phantom{}, refusal("not active")
			}
			time.Sleep(2500 * time.Millisecond)
			return active(time.Hour)(token)
		}}
		c := newTokenCache(minTokenCacheBytes, noStream(), time.Now, l.lookup)
		go func() { _, _, _ = c.get(t.Context(), tokenA, res) }()
		time.Sleep(100 * time.Millisecond)
		revoked.Store(true)
		time.Sleep(1100 * time.Millisecond)
		if _, _, err := c.get(t.Context(), tokenA, res); err == nil {
			t.Error("R11 the token passed more than a second after it was revoked")
		}
	})
}

func TestLookupIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTokenCache(minTokenCacheBytes, noStream(), time.Now, func(ctx context.Context, _, _ string) (phantom, error) {
			<-ctx.Done()
			return phantom{}, ctx.Err()
		})
		start := time.Now()
		if _, _, err := c.get(t.Context(), tokenA, res); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != lookupTimeout {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

// TestRevokedTokenStopsInTime polls through the running gateway with real
// time, at the default setting.
func TestRevokedTokenStopsInTime(t *testing.T) {
	d := start(t)
	const trials = 100
	var worst atomic.Int64
	var wg sync.WaitGroup
	for i := range trials {
		token := fmt.Sprintf("revoked-%d", i)
		d.issue(token, nil)
		wg.Go(func() {
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
			d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer "+token)
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			d.answer(token, nil)
			revoked := time.Now()
			for {
				sent := time.Now()
				resp, _ := d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer "+token)
				if resp.StatusCode != http.StatusOK {
					return
				}
				if after := int64(sent.Sub(revoked)); after > worst.Load() {
					worst.Store(after)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	t.Logf("the last request that passed was sent %s after revocation (%d trials)", time.Duration(worst.Load()), trials)
	if worst.Load() > int64(time.Second) {
		t.Errorf("R11 a revoked token passed for %s", time.Duration(worst.Load()))
	}
}
