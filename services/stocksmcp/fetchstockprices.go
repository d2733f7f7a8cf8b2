package stocksmcp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// fetchStockPrices is the tool fetch-stock-prices: what the stocks API shows
// to this user.
type fetchStockPrices struct {
	Upstream *upstream
	Log      *slog.Logger
}

// whichStocks are the tool's arguments.
type whichStocks struct {
	Symbols []string `json:"symbols"`
}

// stockPrices is its structured answer.
type stockPrices struct {
	Region  string   `json:"region" jsonschema:"the user's region, whose stocks these are"`
	Stocks  []stock  `json:"stocks"`
	Unknown []string `json:"unknown,omitempty" jsonschema:"symbols that were asked for and do not exist in the region"`
}

// symbolsAtOnce is how many symbols one request to the API asks for.
const symbolsAtOnce = 10

func (t *fetchStockPrices) addTo(server *mcp.Server) {
	closedWorld := false
	addTypedTool(server, &mcp.Tool{
		Name:  "fetch-stock-prices",
		Title: "Fetch stock prices",
		Description: "Returns the latest prices of stocks in the region of the signed-in user: of all, or of those whose symbols are given. " +
			"The region follows from the sign-in.",
		InputSchema: json.RawMessage(`{"type": "object", "additionalProperties": false, "properties": {
			"symbols": {"type": "array", "maxItems": 50, "items": ` + symbolSchema + `,
				"description": "symbols of the stocks to return; left out, all of the region"}}}`),
		Annotations: &mcp.ToolAnnotations{
			Title: "Fetch stock prices", ReadOnlyHint: true, IdempotentHint: true, OpenWorldHint: &closedWorld,
		},
	}, t.call)
}

// call is the tool's handler. Its failures are results that the language
// model can read, and hold neither a token nor a word of another service.
func (t *fetchStockPrices) call(ctx context.Context, req *mcp.CallToolRequest, in whichStocks) (*mcp.CallToolResult, stockPrices, error) {
	prices, err := t.fetch(ctx, in.Symbols, reporter(ctx, req))
	if err := finish(ctx, t.Log, "fetch-stock-prices", err, "region", prices.Region, "stocks", len(prices.Stocks)); err != nil {
		return nil, stockPrices{}, err
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: pricesText(prices)}}}, prices, nil
}

func (t *fetchStockPrices) fetch(ctx context.Context, symbols []string, report progress) (stockPrices, error) {
	if len(symbols) == 0 {
		return t.Upstream.list(ctx, nil, func(stocks int) { report(stocks, 0, "stocks fetched") })
	}
	symbols = slices.Compact(slices.Sorted(slices.Values(upper(symbols))))
	all, looked := stockPrices{Stocks: []stock{}}, 0
	for asked := range slices.Chunk(symbols, symbolsAtOnce) {
		some, err := t.Upstream.list(ctx, asked, func(int) {})
		if err != nil {
			return stockPrices{}, err
		}
		all.Region = some.Region
		all.Stocks = append(all.Stocks, some.Stocks...)
		looked += len(asked)
		report(looked, len(symbols), "symbols looked up")
	}
	for _, symbol := range symbols {
		if !slices.ContainsFunc(all.Stocks, func(s stock) bool { return s.Symbol == symbol }) {
			all.Unknown = append(all.Unknown, symbol)
		}
	}
	return all, nil
}

// pricesText shows prices to people, and to clients that read text alone.
func pricesText(p stockPrices) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Stock prices, region %s, %d stocks\n\n", cell(p.Region), len(p.Stocks))
	stockTable(&b, p.Stocks...)
	if len(p.Unknown) > 0 {
		fmt.Fprintf(&b, "\nNot in this region: %s\n", cell(strings.Join(p.Unknown, ", ")))
	}
	return b.String()
}
