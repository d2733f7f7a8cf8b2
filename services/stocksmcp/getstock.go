package stocksmcp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// getStock is the tool get-stock: one stock, and what it cost before.
type getStock struct {
	Upstream *upstream
	Now      func() time.Time
	Log      *slog.Logger
}

// whichStock are the tool's arguments.
type whichStock struct {
	Symbol string `json:"symbol"`
	Days   int    `json:"history_days"`
}

// stockAndHistory is its structured answer.
type stockAndHistory struct {
	Stock   stock        `json:"stock"`
	History []dailyClose `json:"history,omitempty" jsonschema:"daily closes, oldest first; days without trade are left out"`
}

func (t *getStock) addTo(server *mcp.Server) {
	closedWorld := false
	addTypedTool(server, &mcp.Tool{
		Name:  "get-stock",
		Title: "Get a stock",
		Description: "Returns the latest price of one stock in the region of the signed-in user and, " +
			"when history_days is given, what it cost at the end of each trading day before today.",
		InputSchema: json.RawMessage(`{"type": "object", "additionalProperties": false, "required": ["symbol"], "properties": {
			"symbol": ` + symbolSchema + `,
			"history_days": {"type": "integer", "minimum": 0, "maximum": 365, "description": "how many calendar days to look back; 0 for the latest price alone"}}}`),
		Annotations: &mcp.ToolAnnotations{
			Title: "Get a stock", ReadOnlyHint: true, IdempotentHint: true, OpenWorldHint: &closedWorld,
		},
	}, t.call)
}

// call is the tool's handler.
func (t *getStock) call(ctx context.Context, _ *mcp.CallToolRequest, in whichStock) (*mcp.CallToolResult, stockAndHistory, error) {
	got, err := t.get(ctx, in)
	if err := finish(ctx, t.Log, "get-stock", err, "days", in.Days); err != nil {
		return nil, stockAndHistory{}, err
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: stockText(got)}}}, got, nil
}

func (t *getStock) get(ctx context.Context, in whichStock) (stockAndHistory, error) {
	apiToken, err := t.Upstream.readToken(ctx)
	if err != nil {
		return stockAndHistory{}, err
	}
	symbol := strings.ToUpper(in.Symbol)
	got := stockAndHistory{}
	if got.Stock, err = t.Upstream.Stocks.get(ctx, apiToken, symbol); err != nil {
		return stockAndHistory{}, err
	}
	if in.Days > 0 {
		today := t.Now().UTC()
		got.History, err = t.Upstream.Stocks.history(ctx, apiToken, symbol, today.AddDate(0, 0, -in.Days), today.AddDate(0, 0, -1))
		if err != nil {
			return stockAndHistory{}, err
		}
	}
	return got, nil
}

// stockText shows a stock to people, and to clients that read text alone.
func stockText(s stockAndHistory) string {
	var b strings.Builder
	stockTable(&b, s.Stock)
	if len(s.History) > 0 {
		fmt.Fprintf(&b, "\n| Day | Close, %s |\n|---|---:|\n", cell(s.Stock.Currency))
		for _, c := range s.History {
			fmt.Fprintf(&b, "| %s | %s |\n", cell(c.Date), cell(c.Close))
		}
	}
	return b.String()
}
