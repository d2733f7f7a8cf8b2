package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/e2e/agent"
)

// bareAnswer is the variable with which this program, started once more, is a
// server that answers every call with what it holds.
const bareAnswer, bareAddress = "BENCH_BARE_ANSWER", "BENCH_BARE_ADDRESS"

func TestMain(m *testing.M) {
	if answer := os.Getenv(bareAnswer); answer != "" {
		log.Fatal(serveBare(os.Getenv(bareAddress), []byte(answer)))
	}
	os.Exit(m.Run())
}

// prices are what the deployment's tool answers with.
type prices struct {
	Region string  `json:"region"`
	Stocks []stock `json:"stocks"`
}

type stock struct {
	Symbol   string    `json:"symbol"`
	Name     string    `json:"name"`
	Price    string    `json:"price"`
	Currency string    `json:"currency"`
	AsOf     time.Time `json:"as_of"`
	Delayed  bool      `json:"delayed"`
}

// serveBare serves one tool as the SDK's documentation shows it, without
// sessions as the deployment does.
func serveBare(address string, answer []byte) error {
	var known struct {
		Content           []*mcp.TextContent `json:"content"`
		StructuredContent prices             `json:"structuredContent"`
	}
	if err := json.Unmarshal(answer, &known); err != nil {
		return err
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "bare", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: agent.Tool}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, prices, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{known.Content[0]}}, known.StructuredContent, nil
	})
	return http.ListenAndServe(address, mcp.NewStreamableHTTPHandler(
		func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true}))
}

// startBare starts such a server with the answer of the deployment, and
// returns the same load for it.
func startBare(ctx context.Context, t *testing.T, l load) load {
	t.Helper()
	req, err := l.request()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, data, _ := bytes.Cut(stream, []byte("data: "))
	var message struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&message); err != nil {
		t.Fatalf("%v in %s", err, stream)
	}

	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = []string{bareAddress + "=" + address, bareAnswer + "=" + string(message.Result)}
	start(t, cmd, address, t.TempDir())
	return load{
		client:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}},
		request: func() (*http.Request, error) { return call(ctx, "http://"+address+"/", agent.Tool, "{}") },
		answer:  l.answer,
		cpu:     func() int { return ticks(cmd.Process.Pid) },
	}
}
