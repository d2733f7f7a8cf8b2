package stocksmcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// stocksClient calls the stocks API. Its errors wrap errForbidden,
// errUnavailable or errNoStock, and hold no word of what the API said.
type stocksClient struct {
	URL    *url.URL // of the API
	Client *http.Client
}

// stockPage is a part of a list of stocks.
type stockPage struct {
	Region     string  `json:"region"`
	Stocks     []stock `json:"stocks"`
	NextCursor string  `json:"next_cursor"` // empty at the end
}

// stock is a stock as the API and the tools describe it.
type stock struct {
	Symbol   string    `json:"symbol"`
	Name     string    `json:"name" jsonschema:"name of the company"`
	Price    string    `json:"price" jsonschema:"decimal number"`
	Currency string    `json:"currency" jsonschema:"ISO 4217 code"`
	AsOf     time.Time `json:"as_of" jsonschema:"when this was the price, RFC 3339"`
	Delayed  bool      `json:"delayed" jsonschema:"whether the price is an older one, as clients get it that nobody vouches for"`
}

// dailyClose is what a stock cost at the end of a trading day.
type dailyClose struct {
	Date  string `json:"date" jsonschema:"trading day, such as 2026-07-28"`
	Close string `json:"close" jsonschema:"decimal number, in the currency of the stock"`
}

// list returns a page of the stocks that the API shows to the bearer of
// accessToken: those of the symbols, or all when there are none.
func (c *stocksClient) list(ctx context.Context, accessToken string, symbols []string, cursor string) (stockPage, error) {
	query := url.Values{}
	if len(symbols) > 0 {
		query.Set("symbol", strings.Join(symbols, ","))
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	var page stockPage
	if err := c.read(ctx, accessToken, query, &page, "stocks"); err != nil {
		return stockPage{}, err
	}
	if page.Region == "" || page.Stocks == nil {
		return stockPage{}, unexpected("no list of stocks")
	}
	return page, nil
}

// get returns one stock.
func (c *stocksClient) get(ctx context.Context, accessToken, symbol string) (stock, error) {
	var s stock
	if err := c.read(ctx, accessToken, nil, &s, "stocks", symbol); err != nil {
		return stock{}, err
	}
	if s.Symbol != symbol || s.Price == "" || s.Currency == "" {
		return stock{}, unexpected("no such stock")
	}
	return s, nil
}

// history returns the daily closes of a stock, from the first day to the last.
func (c *stocksClient) history(ctx context.Context, accessToken, symbol string, from, to time.Time) ([]dailyClose, error) {
	query := url.Values{"from": {from.Format(time.DateOnly)}, "to": {to.Format(time.DateOnly)}, "interval": {"day"}}
	var answer struct {
		Closes []dailyClose `json:"closes"`
	}
	if err := c.read(ctx, accessToken, query, &answer, "stocks", symbol, "history"); err != nil {
		return nil, err
	}
	if answer.Closes == nil {
		return nil, unexpected("no history")
	}
	return answer.Closes, nil
}

// read gets a document.
func (c *stocksClient) read(ctx context.Context, accessToken string, query url.Values, into any, path ...string) error {
	u := c.URL.JoinPath(path...)
	u.RawQuery = query.Encode()
	resp, err := c.send(ctx, accessToken, http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	switch resp.status {
	case http.StatusOK:
	case http.StatusForbidden:
		return fmt.Errorf("%w: stocks API: %d", errForbidden, resp.status)
	case http.StatusNotFound:
		return fmt.Errorf("%w: stocks API: %d", errNoStock, resp.status)
	default: // 401 too: it refuses a token made for it, which signing in again would not mend
		return fmt.Errorf("%w: stocks API: %d", errUnavailable, resp.status)
	}
	if err := json.Unmarshal(resp.body, into); err != nil {
		return unexpected("not the JSON that it should be")
	}
	return nil
}

// apiAnswer is an answer of the API, read to its end.
type apiAnswer struct {
	status    int
	challenge string // WWW-Authenticate
	body      []byte
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 1 << 20

// send sends a request, with a body unless that is nil, and reads the answer.
func (c *stocksClient) send(ctx context.Context, accessToken, method string, u *url.URL, body []byte) (apiAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return apiAnswer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Client.Do(req)
	if err != nil {
		return apiAnswer{}, fmt.Errorf("%w: stocks API: %w", errUnavailable, err)
	}
	defer resp.Body.Close()
	answer := apiAnswer{status: resp.StatusCode, challenge: resp.Header.Get("WWW-Authenticate")}
	if answer.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return apiAnswer{}, fmt.Errorf("%w: stocks API: %w", errUnavailable, err)
	}
	return answer, nil
}

// unexpected is an answer of the API that is not what it promises.
func unexpected(what string) error {
	return fmt.Errorf("%w: stocks API: %s", errUnavailable, what)
}
