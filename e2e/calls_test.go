package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"demo.example/e2e/agent"
)

// callTool calls the tool at an MCP endpoint with any bearer token, as raw as
// somebody would who has no SDK; an empty token sends none.
func callTool(ctx context.Context, client *http.Client, endpoint, token string) (*agent.Answer, error) {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + agent.Tool + `","arguments":{}}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("MCP-Protocol-Version", agent.Initialize)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return agent.Do(client, req)
}

// want2xx fails the test unless the MCP server takes the token.
func want2xx(t *testing.T, token string) {
	t.Helper()
	if err := accepted(t, token); err != nil {
		t.Fatal(err)
	}
}

// accepted reports why a call with the token does not work.
func accepted(t *testing.T, token string) error {
	answer, err := callTool(t.Context(), demo.Client(), demo.MCPResource(), token)
	switch {
	case err != nil:
		return err
	case answer.Status != http.StatusOK:
		return fmt.Errorf("the call was answered %d %s", answer.Status, answer.Body)
	case !strings.Contains(string(answer.Body), `"structuredContent"`):
		return fmt.Errorf("the tool failed: %s", answer.Body)
	}
	return nil
}

// refused reports when a call with the token is not refused.
func refused(t *testing.T, token string) error {
	answer, err := callTool(t.Context(), demo.Client(), demo.MCPResource(), token)
	if err == nil && answer.Status != http.StatusUnauthorized {
		err = fmt.Errorf("the call was answered %d %s, want 401", answer.Status, answer.Body)
	}
	return err
}
