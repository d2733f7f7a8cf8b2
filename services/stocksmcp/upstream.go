package stocksmcp

import (
	"context"

	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// upstream is the stocks API as the tools use it: for the user of the request,
// with a token that was exchanged for it.
type upstream struct {
	Tokens   *exchange
	Stocks   *stocksClient
	Audience string // of the stocks API
}

// readToken returns a token with which the user of ctx reads stocks.
func (u *upstream) readToken(ctx context.Context) (string, error) {
	return u.Tokens.token(ctx, token.RawFrom(ctx), token.ClaimsFrom(ctx).ExpiresAt.Time, u.Audience, oauth.ScopeStocksRead)
}

// list returns the user's stocks: those of the symbols, or all of the region.
// It reports after each page how many it has.
func (u *upstream) list(ctx context.Context, symbols []string, report func(stocks int)) (stockPrices, error) {
	apiToken, err := u.readToken(ctx)
	if err != nil {
		return stockPrices{}, err
	}
	all := stockPrices{Stocks: []stock{}}
	for cursor, page := "", 0; page < maxPages; page++ {
		got, err := u.Stocks.list(ctx, apiToken, symbols, cursor)
		if err != nil {
			return stockPrices{}, err
		}
		all.Region = got.Region
		all.Stocks = append(all.Stocks, got.Stocks...)
		report(len(all.Stocks))
		if cursor = got.NextCursor; cursor == "" {
			return all, nil
		}
	}
	return stockPrices{}, unexpected("a list without an end")
}

// maxPages bounds how often a list may say that it goes on.
const maxPages = 50

// get returns one stock of the user's region.
func (u *upstream) get(ctx context.Context, symbol string) (stock, error) {
	apiToken, err := u.readToken(ctx)
	if err != nil {
		return stock{}, err
	}
	return u.Stocks.get(ctx, apiToken, symbol)
}
