package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// Load that the outages are tried under, and how soon they must be over.
const (
	loadInterval = 20 * time.Millisecond // 50 requests a second
	loadTime     = 1500 * time.Millisecond
	recoveryTime = 2 * time.Second
)

// outcome is what one request of the load met.
type outcome struct {
	target string // "mcp" or "api"
	sent   time.Time
	status int
	tool   bool // it is a tool's result that says that the tool failed
	err    error
	retry  bool // Retry-After is there
}

// good reports whether the request got what it wanted.
func (o outcome) good() bool { return o.err == nil && o.status == http.StatusOK && !o.tool }

// honest reports whether a failure says that it is an outage.
func (o outcome) honest() bool {
	return o.err == nil && (o.status == http.StatusServiceUnavailable && o.retry || o.status == http.StatusOK && o.tool)
}

func (o outcome) String() string {
	return fmt.Sprintf("%s: %d, failed tool: %t, Retry-After: %t, %v", o.target, o.status, o.tool, o.retry, o.err)
}

// load sends requests of several users to both resources, at a steady pace,
// until the function that it returns is called. That one waits for all answers.
func load(t *testing.T, mcp, api []string) (stop func() []outcome) {
	t.Helper()
	var (
		mu       sync.Mutex
		outcomes []outcome
		requests sync.WaitGroup
		done     = make(chan struct{})
	)
	send := func(n int) {
		o := outcome{target: "mcp", sent: time.Now()}
		var answer *agent.Answer
		if n%2 == 0 {
			answer, o.err = callTool(t.Context(), demo.Client(), demo.MCPResource(), mcp[n/2%len(mcp)])
		} else {
			o.target = "api"
			answer, o.err = agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks", api[n/2%len(api)])
		}
		if o.err == nil {
			o.status, o.retry = answer.Status, answer.Header.Get("Retry-After") != ""
			o.tool = o.target == "mcp" && bytes.Contains(answer.Body, []byte(`"isError":true`))
		}
		mu.Lock()
		defer mu.Unlock()
		outcomes = append(outcomes, o)
	}
	requests.Go(func() {
		tick := time.NewTicker(loadInterval)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-tick.C:
				requests.Go(func() { send(n) })
			}
		}
	})
	return sync.OnceValue(func() []outcome {
		close(done)
		requests.Wait()
		return outcomes
	})
}

// TestOutagesUnderLoad takes one service after the other away from users at
// work. Who needs it is told of an outage, and never to sign in again; nobody
// else notices; and two seconds after it is back nothing fails.
func TestOutagesUnderLoad(t *testing.T) {
	var mcp, api []string
	for _, email := range []string{person.John, person.Jane} {
		mcp, api = append(mcp, mcpToken(t, email)), append(api, apiToken(t, email))
	}
	for service, needed := range map[string][]string{
		"authserver": {"mcp", "api"}, "stocksmcp": {"mcp"}, "stocksapi": {"mcp", "api"}, "mail": nil,
	} {
		t.Run(service, func(t *testing.T) {
			stop := load(t, mcp, api)
			defer stop()
			time.Sleep(loadTime)
			gone := time.Now()
			outage(t, demo.Kill, service, func() { time.Sleep(loadTime) })
			recovered := time.Now().Add(recoveryTime)
			time.Sleep(recoveryTime + loadTime)

			outages, served := 0, 0
			for _, o := range stop() {
				switch {
				case o.good():
					if o.sent.After(recovered) {
						served++
					}
				case o.sent.Before(gone.Add(-time.Second)):
					t.Errorf("before the outage: %s", o)
				case o.sent.After(recovered):
					t.Errorf("%s after the service was back: %s", recoveryTime+o.sent.Sub(recovered), o)
				case !slices.Contains(needed, o.target):
					t.Errorf("needs no %s: %s", service, o)
				case !o.honest():
					t.Errorf("does not say that it is an outage: %s", o)
				default:
					outages++
				}
			}
			t.Logf("%d requests met the outage, %d were served after it", outages, served)
			if served < 20 || outages == 0 && needed != nil {
				t.Errorf("%d requests met the outage, %d were served after it: the load was none", outages, served)
			}
		})
	}
}
