package stocksmcp

import (
	"context"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// compareStocksName is the prompt that people choose in their client.
const compareStocksName = "compare-stocks"

// compareStocks is the prompt compare-stocks. It has no data in it: the model
// fetches that by the tools, for the user whom it works for.
type compareStocks struct{}

func (compareStocks) addTo(server *mcp.Server) {
	server.AddPrompt(&mcp.Prompt{
		Name:        compareStocksName,
		Title:       "Compare two stocks",
		Description: "Compares two stocks of your region over the last three months.",
		Arguments: []*mcp.PromptArgument{
			{Name: "first", Title: "First stock", Description: "its symbol", Required: true},
			{Name: "second", Title: "Second stock", Description: "its symbol", Required: true},
		},
	}, compareStocks{}.get)
}

func (compareStocks) get(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	first, second := strings.ToUpper(req.Params.Arguments["first"]), strings.ToUpper(req.Params.Arguments["second"])
	if !symbolForm.MatchString(first) || !symbolForm.MatchString(second) {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "first and second must be symbols of stocks, such as those that fetch-stock-prices lists"}
	}
	return &mcp.GetPromptResult{
		Description: fmt.Sprintf("Compare %s and %s", first, second),
		Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: fmt.Sprintf(
			"Compare the stocks %[1]s and %[2]s. Call get-stock for each with history_days 90. "+
				"Show a table with the latest price, the change over a week, a month and three months, and the highest and lowest close. "+
				"Then say in three sentences how they differ. If the prices are delayed, say so. Place no order.", first, second)}}},
	}, nil
}
