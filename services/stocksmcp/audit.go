package stocksmcp

import (
	"context"
	"errors"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/token"
)

// audited records each call of a tool, and each resource that is read, as one
// event. What was answered is not part of it.
func audited(recorder audit.Recorder) mcp.Middleware {
	return func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			detail := map[string]string{"method": method}
			switch params := req.GetParams().(type) {
			case *mcp.CallToolParamsRaw:
				detail["tool"] = params.Name
			case *mcp.ReadResourceParams:
				detail["resource"] = params.URI
			default:
				return next(ctx, method, req) // lists and the like are the same for everybody
			}
			ctx, noted := audit.Begin(ctx, audit.ToolCall) // by the tool
			result, err := next(ctx, method, req)
			e := audit.Of(token.ClaimsFrom(ctx), audit.ToolCall, audit.Allowed, "")
			e.Writes, e.Detail = noted.Writes, detail
			call, isCall := result.(*mcp.CallToolResult)
			asked, isRPC := errors.AsType[*jsonrpc.Error](err)
			switch {
			case isRPC && asked.Code == mcp.CodeURLElicitationRequired: // the older way to ask, which refuses nothing
				e.Reason = "the user is asked"
			case err != nil:
				e.Decision, e.Reason = audit.Refused, err.Error()
			case isCall && call.IsError:
				e.Decision, e.Reason = audit.Refused, firstText(call)
			}
			if strings.Contains(e.Reason, string(unavailable)) || e.Reason == string(outcomeUnknown) {
				e.Decision = audit.Failed
			}
			recorder.Record(ctx, e)
			return result, err
		}
	}
}

// firstText is what a failed call says, in words of this server.
func firstText(r *mcp.CallToolResult) string {
	for _, c := range r.Content {
		if text, ok := c.(*mcp.TextContent); ok {
			return text.Text
		}
	}
	return ""
}
