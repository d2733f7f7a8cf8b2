package stocksmcp

import (
	"context"
	"log/slog"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// maxCompletions is as many values as an answer may have (MCP, completion).
const maxCompletions = 100

// completeSymbols completes the arguments that are symbols, of the prompt and
// of the resource template, with those of the user's region.
type completeSymbols struct {
	Upstream *upstream
	Log      *slog.Logger
}

func (c *completeSymbols) complete(ctx context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
	ref, argument := req.Params.Ref, req.Params.Argument
	isSymbolOf := ref.Type == "ref/prompt" && ref.Name == compareStocksName && (argument.Name == "first" || argument.Name == "second") ||
		ref.Type == "ref/resource" && ref.URI == stockTemplate && argument.Name == "symbol"
	if !isSymbolOf {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "there is no such argument to complete"}
	}
	all, err := c.Upstream.list(ctx, nil, func(int) {})
	if failure := finish(ctx, c.Log, "completion", err); failure != nil {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: failure.Error()}
	}
	var taken map[string]string // what the other argument is already
	if req.Params.Context != nil {
		taken = req.Params.Context.Arguments
	}
	found := []string{}
	for _, s := range all.Stocks {
		if strings.HasPrefix(s.Symbol, strings.ToUpper(argument.Value)) && s.Symbol != taken["first"] && s.Symbol != taken["second"] {
			found = append(found, s.Symbol)
		}
	}
	values := found[:min(len(found), maxCompletions)]
	return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{
		Values: values, Total: len(found), HasMore: len(values) < len(found),
	}}, nil
}
