package stocksmcp

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// stockTemplate names one stock of the user's region as a resource.
const stockTemplate = "stocks://{symbol}"

// stockResource serves the resources of stockTemplate.
type stockResource struct {
	Upstream *upstream
	Log      *slog.Logger
}

func (r *stockResource) addTo(server *mcp.Server) {
	server.AddResourceTemplate(&mcp.ResourceTemplate{
		Name:        "stock",
		Title:       "Stock",
		Description: "A stock of the signed-in user's region with its latest price.",
		MIMEType:    "application/json",
		URITemplate: stockTemplate,
	}, r.read)
}

func (r *stockResource) read(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	symbol, _ := strings.CutPrefix(req.Params.URI, "stocks://")
	if !symbolForm.MatchString(symbol) {
		return nil, mcp.ResourceNotFoundError(req.Params.URI)
	}
	s, err := r.Upstream.get(ctx, strings.ToUpper(symbol))
	failure := finish(ctx, r.Log, stockTemplate, err)
	switch {
	case errors.Is(err, errNoStock):
		return nil, mcp.ResourceNotFoundError(req.Params.URI)
	case failure != nil:
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: failure.Error()}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{Text: string(text)}}}, nil
}
