package dpop

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"demo.example/services/internal/dpop/dpoptest"
)

func TestReplays(t *testing.T) {
	t.Run("D-POP a proof is used 50 times at once", func(t *testing.T) {
		c, _ := newTestChecker()
		key := dpoptest.NewKey(t)
		proof := key.Proof("GET", testURL, map[string]any{"nonce": c.Nonce()})
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := c.Check(headerOf(proof), Request{Method: "GET", URL: testURL}); err == nil {
					passed.Add(1)
				} else if codeOf(err) != InvalidProof {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if passed.Load() != 1 {
			t.Errorf("it passed %d times", passed.Load())
		}
	})
	t.Run("D-POP a proof from the future is used until its iat is past", func(t *testing.T) {
		c, clock := newTestChecker()
		key := dpoptest.NewKey(t)
		iat := clock.now().Add(Window - time.Second).Unix()
		proof := func(jti string) http.Header {
			return headerOf(key.Proof("GET", testURL, map[string]any{"nonce": c.Nonce(), "iat": iat, "jti": jti}))
		}
		want := Request{Method: "GET", URL: testURL}
		if _, err := c.Check(proof("1"), want); err != nil {
			t.Fatal(err)
		}
		for range 5 { // to just before it is stale
			clock.wait(23 * time.Second)
			if _, err := c.Check(proof("1"), want); codeOf(err) != InvalidProof || !strings.Contains(err.Error(), "used before") {
				t.Errorf("got %v", err)
			}
		}
		if _, err := c.Check(proof("2"), want); err != nil {
			t.Errorf("another jti of the same time is refused: %v", err)
		}
	})
	t.Run("the same jti of another key or for another address", func(t *testing.T) {
		r, now := newReplays(10), time.Now()
		for _, id := range [][3]string{{"k1", "j", "u"}, {"k2", "j", "u"}, {"k1", "j", "v"}, {"k1", "i", "u"}} {
			if err := r.add(id[0], id[1], id[2], now); err != nil {
				t.Errorf("%v: %v", id, err)
			}
		}
	})
	t.Run("D-POP the memory is flooded", func(t *testing.T) {
		r, now := newReplays(3), time.Now()
		for i := range 3 {
			if err := r.add("k", fmt.Sprint(i), "u", now); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.add("k", "3", "u", now); !errors.Is(err, ErrFull) {
			t.Errorf("a full memory answers %v", err)
		}
		if err := r.add("k", "0", "u", now); !errors.Is(err, errReplayed) {
			t.Errorf("a full memory forgot: %v", err)
		}
		if err := r.add("k", "3", "u", now.Add(keepProofs)); err != nil {
			t.Errorf("there is no room in the next span: %v", err)
		}
		if err := r.add("k", "2", "u", now.Add(2*keepProofs-1)); !errors.Is(err, errReplayed) {
			t.Errorf("forgot too early: %v", err)
		}
		if err := r.add("k", "2", "u", now.Add(5*keepProofs)); err != nil {
			t.Errorf("remembers for ever: %v", err)
		}
	})
}
