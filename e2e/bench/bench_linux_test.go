package bench_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/deployment"
	"demo.example/e2e/launch"
	"demo.example/e2e/node"
	"demo.example/e2e/person"
)

// calls is how many times each tool is called: few enough for the gateway's
// limit of what one user may ask in a minute.
const calls, warmUp = 3000, 500

// TestToolCall compares a whole authorized tools/call (TLS, gateway, MCP
// server, stocks API, all of it on one core) with one at servers on plain HTTP
// that are open to everybody, on one core as well: one on the same SDK that
// gives the same answer from memory (bare_linux_test.go), and the example
// servers of the TypeScript SDK. One of these is like this deployment's server:
// it keeps nothing between requests and streams its answers. The other is the
// fastest of them: it keeps a session, and answers with JSON.
func TestToolCall(t *testing.T) {
	installed := os.Getenv("BENCH_GATEWAY")
	if installed == "" {
		t.Skip("takes a minute, and npm: `make bench-gateway`")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	onCore(t, 0)
	l := deploymentCalls(ctx, t)
	onCore(t, 1)
	l.run(t, warmUp)
	ours := l.run(t, calls)
	t.Logf("%-28s %v; one at a time %v", "this deployment", ours, l.alone(t, warmUp).median)
	compare := func(t *testing.T, l load) {
		onCore(t, 1)
		l.run(t, warmUp)
		theirs := l.run(t, calls)
		t.Logf("%v; this deployment does %.2f of its requests a second, with %.2f times the CPU",
			theirs, ours.perSecond/theirs.perSecond, float64(ours.cpu)/float64(theirs.cpu))
	}
	t.Run("bare go-sdk server", func(t *testing.T) {
		onCore(t, 0)
		compare(t, startBare(ctx, t, l))
	})
	for _, example := range []struct{ name, tool, arguments, answer string }{
		{"simpleStatelessStreamableHttp", "start-notification-stream", `{"interval":0,"count":1}`, "Started sending"},
		{"jsonResponseStreamableHttp", "greet", `{"name":"John"}`, "Hello, John!"},
	} {
		t.Run(example.name, func(t *testing.T) {
			onCore(t, 0)
			pid, session := startExample(ctx, t, installed, example.name)
			compare(t, load{
				client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}},
				request: func() (*http.Request, error) {
					req, err := call(ctx, exampleServer, example.tool, example.arguments)
					if err == nil && session != "" {
						req.Header.Set("Mcp-Session-Id", session)
					}
					return req, err
				},
				answer: example.answer,
				cpu:    func() int { return ticks(pid) },
			})
		})
	}
}

// deploymentCalls starts a deployment and signs a user in.
func deploymentCalls(ctx context.Context, t *testing.T) load {
	t.Helper()
	t.Setenv("RUNTIME", deployment.Local)
	demo, err := launch.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := demo.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := agent.New(demo.Deployment, agent.Dynamic("bench", "http://127.0.0.1/callback"), approve(demo.Deployment))
	if err == nil {
		_, err = a.Call(ctx, agent.Initialize)
	}
	if err != nil {
		t.Fatal(err)
	}
	token, err := a.Token(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pids := processesOf(t, demo.RunDir)
	if len(pids) < len(deployment.Services) {
		t.Fatalf("found %d processes of the deployment", len(pids))
	}
	return load{
		client: demo.Client(),
		request: func() (*http.Request, error) {
			req, err := call(ctx, demo.MCPResource(), agent.Tool, "{}")
			if err == nil {
				req.Header.Set("Authorization", "Bearer "+token.AccessToken)
			}
			return req, err
		},
		answer: `"region":"USA"`,
		cpu: func() (sum int) {
			for _, pid := range pids {
				sum += ticks(pid)
			}
			return sum
		},
	}
}

// approve signs in as a user and allows what is asked for.
func approve(d *deployment.Deployment) agent.SignIn {
	user := person.New(d, person.John)
	return func(ctx context.Context, address string) (*url.URL, error) {
		return user.Authorize(ctx, address, person.Allow)
	}
}

// exampleServer is one of the SDK's examples, which all listen on port 3000.
const exampleServer = "http://127.0.0.1:3000/mcp"

// startExample starts an example server, and opens a session if it has them.
func startExample(ctx context.Context, t *testing.T, installed, name string) (pid int, session string) {
	t.Helper()
	program, err := node.Program(installed)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, filepath.Join(installed, "node_modules/@modelcontextprotocol/sdk/dist/esm/examples/server", name+".js"))
	cmd.Env = []string{"NODE_ENV=production"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		req, err := post(ctx, exampleServer, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+
			`{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			return cmd.Process.Pid, resp.Header.Get("Mcp-Session-Id")
		}
		if time.Now().After(deadline) {
			t.Fatal("the example server does not answer on port 3000; something else may be there")
		}
	}
}

// call is a tools/call of the older era.
func call(ctx context.Context, endpoint, tool, arguments string) (*http.Request, error) {
	req, err := post(ctx, endpoint, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, arguments))
	if err == nil {
		req.Header.Set("MCP-Protocol-Version", agent.Initialize)
	}
	return req, err
}

func post(ctx context.Context, endpoint, body string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
	}
	return req, err
}
