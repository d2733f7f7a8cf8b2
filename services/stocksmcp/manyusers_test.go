package stocksmcp

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestUsersAreKeptApart: attacks X13 and C7. A thousand users call in turns
// that nobody planned, in both eras, and each answer is the caller's own.
func TestUsersAreKeptApart(t *testing.T) {
	c := newChain(t)
	c.Revoked.Connected()
	const users, calls, atOnce = 1000, 2, 32
	type user struct{ name, region, bearer string }
	var turns []user
	for u := range users {
		who := user{name: fmt.Sprintf("user-%d", u), region: []string{"USA", "Europe", "Asia"}[u%3]}
		who.bearer = c.token(map[string]any{"sub": who.name, "region": who.region, "jti": who.name, "grant_id": who.name})
		for range calls {
			turns = append(turns, who)
		}
	}
	rand.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
	next := make(chan int)
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for i := range next {
				c.Revoked.Heard()
				u, h := turns[i], modern(nil)
				if i%2 == 0 {
					h = modern(map[string]string{"MCP-Protocol-Version": "2025-11-25", "Mcp-Method": "", "Mcp-Name": ""})
				}
				body := callBody
				if i%2 == 0 {
					body = oldCallBody
				}
				h.Set("Authorization", "Bearer "+u.bearer)
				_, answer := c.request(t, http.MethodPost, body, h)
				if !strings.Contains(answer, "Of   "+u.name+" |") || !strings.Contains(answer, "region "+u.region+",") || strings.Contains(answer, u.bearer) {
					t.Errorf("%s in %s got %q", u.name, u.region, answer)
				}
			}
		})
	}
	for i := range turns {
		next <- i
	}
	close(next)
	group.Wait()
	// On a busy machine the stream of revocations may seem silent for a moment.
	if n := c.Exchanges.Load(); n < users || n > users*calls {
		t.Errorf("%d exchanges for %d users", n, users)
	}
}

const oldCallBody = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"fetch-stock-prices","arguments":{}}}`

// TestClientHangsUp: attack C9. The call to the API ends within a second, and
// nothing of thirty such calls is left.
func TestClientHangsUp(t *testing.T) {
	for _, era := range eras {
		t.Run(era, func(t *testing.T) {
			body, headers := callBody, modern(nil)
			if era < statelessEra {
				body, headers = oldCallBody, modern(map[string]string{"MCP-Protocol-Version": era, "Mcp-Method": "", "Mcp-Name": ""})
			}
			c := newChain(t)
			c.request(t, http.MethodPost, body, headers) // all connections that last are made
			c.APIDelay = make(chan struct{})
			defer close(c.APIDelay)
			headers.Set("Authorization", "Bearer "+c.token(nil))
			before := runtime.NumGoroutine()
			for calls := 1; calls <= 30; calls++ {
				arrived := len(c.sent("GET /stocks"))
				hangUp := c.begin(t, body, headers)
				within(t, "the API was not called", func() bool { return len(c.sent("GET /stocks")) > arrived })
				hangUp()
				within(t, "the call to the API went on", func() bool { return strings.Count(c.Log.String(), `"msg":"tool failed"`) == calls })
			}
			http.DefaultClient.CloseIdleConnections()
			within(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= before+5 })
		})
	}
}

// begin sends a request and returns what hangs up, and waits until that is
// done.
func (c *chain) begin(t *testing.T, body string, headers http.Header) (hangUp func()) {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = headers.Clone()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// within waits for a second.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}
