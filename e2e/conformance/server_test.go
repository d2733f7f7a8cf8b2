package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
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

// TestServer runs the suite against the MCP server, once for each era of the
// protocol: the deployment's own gateway and authorization server, and behind
// them the MCP server's production handler with the suite's fixtures
// (services/stocksmcp, TestServeFixtures). What may fail is in baseline-*.yml,
// with the reason. The suite fails when anything else does, and when something
// in there no longer does.
func TestServer(t *testing.T) {
	ctx, installed := prepare(t)
	t.Setenv("RUNTIME", deployment.Local) // in a container the service cannot be replaced
	demo := start(ctx, t)
	replaceServer(ctx, t, demo)
	address := withToken(t, demo.Deployment, accessToken(ctx, t, demo.Deployment))

	// scenarios is how many must have passed at least one check.
	for name, run := range map[string]struct {
		suite, flag string
		scenarios   int
	}{
		"2025-11-25": {"conformance-2025-11-25", "--spec-version", 23},
		"2026-07-28": {"@modelcontextprotocol/conformance", "--requirements", 40},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := node.Program(installed)
			if err != nil {
				t.Fatal(err)
			}
			results := t.TempDir()
			cmd := exec.CommandContext(ctx, program, filepath.Join(installed, "node_modules", run.suite, "dist/index.js"),
				"server", "--url", address, run.flag, name, "--expected-failures", "baseline-"+name+".yml", "--output-dir", results)
			cmd.Env = []string{} // nothing that could lead it elsewhere
			cmd.WaitDelay = 5 * time.Second
			out, err := cmd.CombinedOutput()
			_, summary, _ := strings.Cut(string(out), "=== SUMMARY ===")
			if err != nil {
				t.Fatalf("the suite ends with %v:\n%s", err, out)
			}
			if passed := passedScenarios(t, results); passed < run.scenarios {
				t.Errorf("%d scenarios passed, want %d:\n%s", passed, run.scenarios, out)
			}
			t.Log(summary)
		})
	}
}

// passedScenarios counts the scenarios with a check that passed and none that
// failed.
func passedScenarios(t *testing.T, results string) (n int) {
	t.Helper()
	scenarios, err := filepath.Glob(filepath.Join(results, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range scenarios {
		checks, err := readChecks(filepath.Dir(dir), filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		outcomes := fmt.Sprint(checks)
		if strings.Contains(outcomes, "SUCCESS") && !strings.Contains(outcomes, "FAILURE") {
			n++
		}
	}
	return n
}

// replaceServer puts the MCP server with fixtures where the deployment's own
// was.
func replaceServer(ctx context.Context, t *testing.T, demo *launch.Running) {
	t.Helper()
	mcpServer, err1 := demo.Inside(ctx, "stocksmcp")
	authServer, err2 := demo.Inside(ctx, "authserver")
	stocksAPI, err3 := demo.Inside(ctx, "stocksapi")
	root, err4 := deployment.Root()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "stocksmcp.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "./stocksmcp")
	build.Dir = filepath.Join(root, "services")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the MCP server with fixtures: %v\n%s", err, out)
	}
	if err := demo.Stop(ctx, "stocksmcp"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, "-test.run", "^TestServeFixtures$", "-test.timeout", "0")
	cmd.Env = []string{
		"SERVE_FIXTURES=1", "DOMAIN=" + demo.Domain, fmt.Sprintf("HTTPS_PORT=%d", demo.HTTPSPort),
		"LISTEN_ADDR=" + strings.TrimPrefix(mcpServer, "http://"), "AUTHSERVER_URL=" + authServer,
		"STOCKSAPI_URL=" + stocksAPI, "CLIENT_SECRET_FILE=" + filepath.Join(demo.RunDir, "secrets", "client-stocksmcp"),
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // by now the test's context has ended, and the program with it
		if _ = cmd.Wait(); t.Failed() {
			t.Logf("the MCP server with fixtures logged:\n%s", log.Bytes())
		}
	})
	waitHealthy(ctx, t, demo, mcpServer)
}

// waitHealthy waits until a service answers.
func waitHealthy(ctx context.Context, t *testing.T, demo *launch.Running, address string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		answer, err := agent.Get(ctx, demo.InsideClient(), address+"/healthz", "")
		if err == nil && answer.Status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			t.Fatalf("the MCP server with fixtures does not answer: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// accessToken signs a user in and returns an access token for the MCP server.
func accessToken(ctx context.Context, t *testing.T, d *deployment.Deployment) string {
	t.Helper()
	client := register(ctx, t, d, "none", "http://127.0.0.1/callback")
	flow := agent.NewFlow(d, client, d.MCPResource())
	response, err := person.New(d, person.John).Authorize(ctx, flow.URL(), person.Allow)
	if err != nil {
		t.Fatal(err)
	}
	code, err := flow.Code(response)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := flow.Redeem(ctx, code)
	if err != nil || answer.Status != http.StatusOK {
		t.Fatalf("no token: %v %+v", err, answer)
	}
	return answer.Text("access_token")
}

// withToken starts a proxy on loopback for a client that has no way to send a
// token, and returns its address. Its own name stands for the MCP server's,
// and its own origin for one that the gateway allows; a request that names
// another host or origin, as that of an attacker's page would, reaches the
// gateway like that.
func withToken(t *testing.T, d *deployment.Deployment, token string) string {
	t.Helper()
	there, err := url.Parse(d.MCPResource())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport:     d.Transport(),
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			own := r.In.Context().Value(http.LocalAddrContextKey).(interface{ String() string }).String()
			r.SetURL(there)
			if r.In.Host != own {
				r.Out.Host = r.In.Host
			}
			if r.In.Header.Get("Origin") == "http://"+own {
				r.Out.Header.Set("Origin", "http://localhost:6274") // the Inspector's page
			}
			r.Out.Header.Set("Authorization", "Bearer "+token)
		},
	})
	t.Cleanup(proxy.Close)
	return proxy.URL + "/"
}
