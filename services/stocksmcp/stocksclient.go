package stocksmcp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// stocksClient calls the stocks API.
type stocksClient struct {
	URL    string // of the list of stocks
	Client *http.Client
}

// list returns the stocks that the API shows to the bearer of accessToken. The
// error wraps errForbidden or errUnavailable.
func (c *stocksClient) list(ctx context.Context, accessToken string) (stockPrices, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return stockPrices{}, err
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	req.Header.Set("Accept", "application/json")
	resp, err := c.Client.Do(req)
	if err != nil {
		return stockPrices{}, fmt.Errorf("%w: stocks API: %w", errUnavailable, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden:
		return stockPrices{}, fmt.Errorf("%w: stocks API: %s", errForbidden, resp.Status)
	default: // 401 too: it refuses a token made for it, which signing in again would not mend
		return stockPrices{}, fmt.Errorf("%w: stocks API: %s", errUnavailable, resp.Status)
	}
	var list stockPrices
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&list); err != nil || list.Region == "" || list.Stocks == nil {
		return stockPrices{}, fmt.Errorf("%w: stocks API: unexpected answer", errUnavailable)
	}
	return list, nil
}
