package browser_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/e2e/agent"
)

// callback is where the clients of these tests wait for the browser, as
// programs on the user's machine do (RFC 8252 §7.3).
type callback struct {
	redirect string

	mu      sync.Mutex
	waiting map[string]chan *url.URL // by state
}

// arrived is what a browser shows once it is back. Its title tells whether
// scripts run.
const arrived = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>No scripts</title><link rel="icon" href="data:,"></head><body><main><h1>You can go back to your program</h1></main><script>document.title = "Scripts"</script></body></html>`

func listen(t *testing.T) *callback {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &callback{redirect: "http://" + l.Addr().String() + "/callback", waiting: map[string]chan *url.URL{}}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, arrived)
		select {
		case c.of(r.URL.Query().Get("state")) <- r.URL:
		default: // loaded again
		}
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Close(); serving.Wait() })
	return c
}

func (c *callback) of(state string) chan *url.URL {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[state] == nil {
		c.waiting[state] = make(chan *url.URL, 1)
	}
	return c.waiting[state]
}

// wait returns the address that the browser came back to with this state.
func (c *callback) wait(ctx context.Context, state string) (*url.URL, error) {
	select {
	case u := <-c.of(state):
		return u, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// program is an AI agent on the SDK that runs beside the browser. What it wants
// its user to open comes out of opens.
type program struct {
	*agent.Agent
	t       *testing.T
	opens   chan string
	session *mcp.ClientSession
	decided chan struct{} // the user was at the page of an order
}

// errNoDecision ends a program whose user never came back.
var errNoDecision = errors.New("the user never came back")

// program returns a client that has not begun.
func (s *setup) program(t *testing.T, registration agent.Registration) *program {
	t.Helper()
	p := &program{t: t, opens: make(chan string), decided: make(chan struct{})}
	var err error
	p.Agent, err = agent.New(s.Deployment, registration, func(ctx context.Context, address string) (*url.URL, error) {
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		select {
		case p.opens <- address:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return s.client.wait(ctx, u.Query().Get("state"))
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// call begins a call of a tool, in a session that it opens where there is none.
// The channel that it returns brings the result.
func (p *program) call(ctx context.Context, tool string, arguments map[string]any) <-chan called {
	done := make(chan called, 1)
	go func() {
		var c called
		if p.session == nil {
			p.session, c.err = p.ConnectWithUser(ctx, agent.Stateless, p.visit)
		}
		if c.err == nil {
			c.result, c.err = p.session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
		}
		done <- c
	}()
	return done
}

// called is how a call ended.
type called struct {
	result *mcp.CallToolResult
	err    error
}

// visit has the user decide on a page, and waits until they have.
func (p *program) visit(ctx context.Context, address string) error {
	select {
	case p.opens <- address:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-p.decided:
		return nil
	case <-ctx.Done():
		return errors.Join(errNoDecision, ctx.Err())
	}
}

// asks returns the address that the program wants its user to open.
func (p *program) asks(t *testing.T, call <-chan called) string {
	t.Helper()
	select {
	case address := <-p.opens:
		return address
	case c := <-call:
		t.Fatalf("the call ended without its user: %+v, %v", c.result, c.err)
	case <-time.After(stepTimeout):
		t.Fatal("the program asks for nothing")
	}
	return ""
}

// ends waits for the end of a call.
func ends(t *testing.T, call <-chan called) called {
	t.Helper()
	select {
	case c := <-call:
		return c
	case <-time.After(stepTimeout):
		t.Fatal("the call does not end")
		return called{}
	}
}
