package stocksmcp

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// TestServeFixtures is no test but the program that the official conformance
// suite is run against: this service, whose MCP server has the suite's fixtures
// besides its own tools. e2e/conformance
// builds it with `go test -c` and starts it in the service's place, with
// SERVE_FIXTURES and the service's environment.
func TestServeFixtures(t *testing.T) {
	if os.Getenv("SERVE_FIXTURES") == "" {
		t.Skip("e2e/conformance runs it: `make conformance`")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Environ(), os.Stderr, addFixtures); err != nil {
		t.Fatal(err)
	}
}

// addFixtures registers what the suite's scenarios call by name. Their
// descriptions in the suite, shown by its command list, say what each has to
// answer.
func addFixtures(server *mcp.Server) {
	addContentTools(server)
	addDiagnosticTools(server)
	addInputTools(server)
	addResources(server)
	addPrompts(server)
	server.AddReceivingMiddleware(completeFixture)
}

// completeFixture answers completion requests for the fixtures' prompt; the
// service's own completion, whatever it covers, answers all others.
func completeFixture(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		complete, ok := req.(*mcp.CompleteRequest)
		if !ok || !strings.HasPrefix(complete.Params.Ref.Name, "test_") {
			return next(ctx, method, req)
		}
		return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{"testing"}, Total: 1}}, nil
	}
}
