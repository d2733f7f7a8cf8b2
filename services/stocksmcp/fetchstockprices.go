package stocksmcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// Ways in which the tool fails that the user can do something about.
var (
	errUnavailable = errors.New("temporarily unavailable")
	errForbidden   = errors.New("not allowed")
	errWithdrawn   = errors.New("access was withdrawn")
)

// fetchStockPrices is the tool fetch-stock-prices: what the stocks API shows
// to this user.
type fetchStockPrices struct {
	Tokens   *exchange
	Stocks   *stocksClient
	Audience string // of the stocks API
	Log      *slog.Logger
}

// stockPrices is the tool's structured answer.
type stockPrices struct {
	Region string  `json:"region" jsonschema:"the user's region, whose stocks these are"`
	Stocks []stock `json:"stocks"`
}

type stock struct {
	Symbol   string    `json:"symbol"`
	Name     string    `json:"name" jsonschema:"name of the company"`
	Price    string    `json:"price" jsonschema:"decimal number"`
	Currency string    `json:"currency" jsonschema:"ISO 4217 code"`
	AsOf     time.Time `json:"as_of" jsonschema:"when this was the price, RFC 3339"`
}

func (t *fetchStockPrices) definition() *mcp.Tool {
	closedWorld := false
	return &mcp.Tool{
		Name:        "fetch-stock-prices",
		Title:       "Fetch stock prices",
		Description: "Returns the latest prices of all stocks in the region of the signed-in user. It takes no arguments; the region follows from the sign-in.",
		Annotations: &mcp.ToolAnnotations{
			Title: "Fetch stock prices", ReadOnlyHint: true, IdempotentHint: true, OpenWorldHint: &closedWorld,
		},
	}
}

// call is the tool's handler. Its failures are results that the language
// model can read, and hold neither a token nor a word of another service.
func (t *fetchStockPrices) call(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, stockPrices, error) {
	claims := token.ClaimsFrom(ctx)
	log := t.Log.With("request_id", httpserver.RequestID(ctx), "tool", "fetch-stock-prices",
		"sub", claims.Subject, "client_id", claims.ClientID)
	prices, err := t.fetch(ctx, claims, token.RawFrom(ctx))
	if err != nil {
		log.Error("tool failed", "error", err)
		return nil, stockPrices{}, explain(err)
	}
	log.Info("tool called", "region", prices.Region, "stocks", len(prices.Stocks))
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: table(prices)}}}, prices, nil
}

func (t *fetchStockPrices) fetch(ctx context.Context, claims *token.Claims, subjectToken string) (stockPrices, error) {
	apiToken, err := t.Tokens.token(ctx, subjectToken, claims.ExpiresAt.Time, t.Audience, oauth.ScopeStocksRead)
	if err != nil {
		return stockPrices{}, err
	}
	return t.Stocks.list(ctx, apiToken)
}

// explanation is a failure as the user reads it, with what to do about it.
type explanation string

func (e explanation) Error() string { return string(e) }

func explain(err error) explanation {
	switch {
	case errors.Is(err, errForbidden):
		return "Not allowed: this client may not read stock prices for this user. Trying again will not help; an administrator can grant access."
	case errors.Is(err, errWithdrawn):
		return "The access of this client was withdrawn. Sign in again to go on."
	}
	return "The stocks service is temporarily unavailable. Try again in a moment; the sign-in is fine."
}

// table shows prices to people, and to clients that read text alone.
func table(p stockPrices) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Stock prices, region %s, %d stocks\n\n", cell(p.Region), len(p.Stocks))
	b.WriteString("| Symbol | Name | Price | Currency | As of |\n|---|---|---:|---|---|\n")
	for _, s := range p.Stocks {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n",
			cell(s.Symbol), cell(s.Name), cell(s.Price), cell(s.Currency), s.AsOf.Format(time.RFC3339))
	}
	return b.String()
}

// cell keeps a value inside its cell: a name must not become a line of its
// own, which a language model could take for more than data.
func cell(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '|' || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
