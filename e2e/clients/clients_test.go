package clients_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/e2e/agent"
)

// TestClients runs each client as docs/clients.md tells its users to.
func TestClients(t *testing.T) {
	ctx, s := prepare(t)
	t.Run("MCP Inspector, legacy era", func(t *testing.T) { testInspector(ctx, t, s, "legacy") })
	t.Run("MCP Inspector, modern era", func(t *testing.T) { testInspector(ctx, t, s, "modern") })
	t.Run("mcp-remote", func(t *testing.T) { testRemote(ctx, t, s) })
	t.Run("TypeScript SDK, legacy era", func(t *testing.T) { testTypeScript(ctx, t, s, "legacy", agent.Initialize) })
	t.Run("TypeScript SDK, modern era", func(t *testing.T) { testTypeScript(ctx, t, s, agent.Stateless, agent.Stateless) })
}

// tools and prices are what a client shows of the answers to tools/list and
// tools/call.
type tools struct {
	Tools []struct {
		Name string `json:"name"`
	} `json:"tools"`
}

func (l tools) check() error {
	for _, tool := range l.Tools {
		if tool.Name == agent.Tool {
			return nil
		}
	}
	return fmt.Errorf("%v has no %s", l, agent.Tool)
}

type prices struct {
	IsError    bool `json:"isError"`
	Structured struct {
		Region string           `json:"region"`
		Stocks []map[string]any `json:"stocks"`
	} `json:"structuredContent"`
}

// check expects what the one user sees who signs in here.
func (p prices) check() error {
	if p.IsError || p.Structured.Region != "USA" || len(p.Structured.Stocks) == 0 {
		return fmt.Errorf("got %+v, want stocks of the USA", p)
	}
	return nil
}

// testInspector is the command line of MCP Inspector. It registers by itself
// (DCR), and a second call finds the tokens of the first.
func testInspector(ctx context.Context, t *testing.T, s *setup, era string) {
	home, user := t.TempDir(), s.visitor()
	callback := fmt.Sprintf("http://127.0.0.1:%d/oauth/callback", freePort(t)) // its own may be in use
	inspect := func(answer any, args ...string) {
		t.Helper()
		cmd, err := s.command(ctx, home, s.script("@modelcontextprotocol/inspector/clients/launcher/build/index.js"), append([]string{
			"--cli", s.MCPResource(), "--transport", "http", "--protocol-era", era, "--callback-url", callback, "--format", "json",
		}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		out, err := user.run(ctx, cmd)
		if err == nil {
			err = json.Unmarshal(out, &struct {
				Result any `json:"result"`
			}{answer})
		}
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	var listed tools
	inspect(&listed, "--method", "tools/list")
	if err := listed.check(); err != nil {
		t.Error(err)
	}
	user.agreed(t, "Inspector", "It registered itself.")
	var called prices
	inspect(&called, "--method", "tools/call", "--tool-name", agent.Tool)
	if err := called.check(); err != nil {
		t.Error(err)
	}
	if len(user.visits) != 1 {
		t.Errorf("the user was sent to sign in %d times, want once: %q", len(user.visits), user.visits)
	}
}

// testRemote is mcp-remote between the deployment and a client that knows
// nothing of HTTP or OAuth, and talks to a program's standard input and output.
func testRemote(ctx context.Context, t *testing.T, s *setup) {
	user := s.visitor()
	cmd, err := s.command(ctx, t.TempDir(), s.script("mcp-remote/dist/proxy.js"), s.MCPResource(), fmt.Sprint(freePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	cmd.Stderr = w
	watched := make(chan error, 1)
	go func() { watched <- user.watch(ctx, r) }()

	client := mcp.NewClient(&mcp.Implementation{Name: "stdio-client", Version: "1.0.0"}, nil)
	session, err := client.Connect(ctx, &mcp.CommandTransport{Command: cmd}, nil)
	if err != nil {
		w.Close()
		t.Fatalf("%v; mcp-remote printed\n%s", err, user.said.String())
	}
	var listed tools
	var called prices
	list, err := session.ListTools(ctx, nil)
	if err == nil {
		err = convert(list, &listed)
	}
	if err == nil {
		err = listed.check()
	}
	if err != nil {
		t.Error(err)
	}
	call, err := session.CallTool(ctx, &mcp.CallToolParams{Name: agent.Tool})
	if err == nil {
		err = convert(call, &called)
	}
	if err == nil {
		err = called.check()
	}
	if err != nil {
		t.Error(err)
	}
	if err := session.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	w.Close()
	if err := <-watched; err != nil {
		t.Error(err)
	}
	user.agreed(t, "MCP CLI Proxy", "It registered itself.")
}

// testTypeScript is the TypeScript SDK's client, in typescript.mjs, known by
// the address of its metadata document (CIMD) and not registered at all.
func testTypeScript(ctx context.Context, t *testing.T, s *setup, era, version string) {
	user := s.visitor()
	cmd, err := s.command(ctx, t.TempDir(), filepath.Join(s.installed, "typescript.mjs"), s.MCPResource(), s.ClientDocument(), era)
	if err != nil {
		t.Fatal(err)
	}
	out, err := user.run(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		tools
		Version string `json:"version"`
		Result  prices `json:"result"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got.Version != version {
		t.Errorf("negotiated version %s, want %s", got.Version, version)
	}
	if err := got.check(); err != nil {
		t.Error(err)
	}
	if err := got.Result.check(); err != nil {
		t.Error(err)
	}
	user.agreed(t, "Stocks Demo Agent", "It is described by a document at client."+s.Domain)
}

// convert turns an answer of one SDK into what the others print.
func convert(from, to any) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, to)
}
