package stocksmcp

import (
	"context"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// progress tells the client how far a call is. A total of 0 is not known.
type progress func(done, total int, message string)

// reporter returns the progress of a call, which is told only to clients that
// sent a token to know it by (MCP, progress).
func reporter(ctx context.Context, req *mcp.CallToolRequest) progress {
	progressToken := req.Params.GetProgressToken()
	if progressToken == nil {
		return func(int, int, string) {}
	}
	return func(done, total int, message string) {
		// A client that hung up cannot be told; ctx ends the call then.
		_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
			ProgressToken: progressToken, Progress: float64(done), Total: float64(total), Message: message,
		})
	}
}
