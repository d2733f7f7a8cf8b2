package chain_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestThousandUsers: attacks C7 and X13, through all services. A thousand
// users call in turns that nobody planned. Every answer is the caller's own:
// of their region, with their orders, to the request that they sent. Some are
// revoked meanwhile; they are refused within a second, and nobody else notices.
func TestThousandUsers(t *testing.T) {
	const count, revoked, atOnce = 1000, 40, 16
	regions := []string{"USA", "Europe", "Asia"}
	callers := make([]*caller, count)
	users := make([]*user, count)
	for i := range callers {
		users[i] = &user{region: regions[i%len(regions)]}
		callers[i] = &caller{user: users[i], quantity: i + 1}
	}
	c := startChain(t, users)
	l := &load{chain: c, market: readMarkets(t, c, users[:len(regions)])}

	turns := make([]turn, 0, count*len(calls))
	for _, u := range callers {
		for _, call := range calls {
			turns = append(turns, turn{u, call})
		}
	}
	rand.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })

	next := make(chan turn)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for turn := range next {
				if err := l.take(t.Context(), turn); err != nil {
					t.Errorf("%s in %s: %v", turn.name, turn.region, err)
				}
			}
		})
	}
	for i, turn := range turns {
		next <- turn
		if i == len(turns)/3 {
			workers.Go(func() {
				for _, u := range callers[:revoked] {
					if err := l.revoke(t.Context(), u); err != nil {
						t.Errorf("%s: %v", u.name, err)
					}
				}
			})
		}
	}
	close(next)
	workers.Wait()
	served, refused := l.served.Load(), l.refused.Load()
	t.Logf("%d answers, %d refusals", served, refused)
	if refused < revoked || served < int64(len(turns)-revoked*len(calls)) {
		t.Errorf("%d of %d turns were served, %d refused", served, len(turns), refused)
	}
}

// A turn is a call of a user.
type turn struct {
	*caller
	call func(context.Context, *load, *caller) (status int, err error)
}

// A caller is a user who calls. Each buys another number of shares.
type caller struct {
	*user
	quantity int

	ordered atomic.Bool
	state   atomic.Int32 // of live, ending, ended; it only grows
}

const (
	live   = iota
	ending // a revocation was sent
	ended  // it was answered, more than a second ago or with a refusal since
)

// load is what the callers have in common.
type load struct {
	*chain
	market          map[string]market // by region
	id              atomic.Int64      // of requests
	served, refused atomic.Int64
}

// take has a user call, and returns an error for an answer that is not theirs.
func (l *load) take(ctx context.Context, t turn) error {
	before := t.state.Load()
	status, err := t.call(ctx, l, t.caller)
	after := t.state.Load()
	switch {
	case status == http.StatusUnauthorized && after == live:
		return fmt.Errorf("refused, and not revoked: %w", err)
	case status == http.StatusUnauthorized:
		l.refused.Add(1)
		return nil
	case before == ended:
		return fmt.Errorf("served with %d although revoked", status)
	case err != nil && after == live:
		return err
	}
	l.served.Add(1)
	return nil
}

// revoke ends the tokens of a user and calls until both are refused.
func (l *load) revoke(ctx context.Context, u *caller) error {
	u.state.Store(ending)
	if err := l.chain.revoke(ctx, agent, u.mcp); err != nil {
		return err
	}
	if err := l.chain.revoke(ctx, webApp, u.api); err != nil {
		return err
	}
	revoked := time.Now()
	for _, call := range []func(context.Context, *load, *caller) (int, error){fetchPrices, listStocks} {
		for {
			asked := time.Now()
			status, _ := call(ctx, l, u)
			if status == http.StatusUnauthorized {
				break
			}
			if late := asked.Sub(revoked); late > time.Second {
				return fmt.Errorf("still answered %d, %v after it was revoked", status, late)
			}
		}
	}
	u.state.Store(ended)
	return nil
}

// calls are what every user does once, in any order.
var calls = []func(context.Context, *load, *caller) (status int, err error){fetchPrices, getStock, listStocks, placeOrder, listOrders}

func fetchPrices(ctx context.Context, l *load, u *caller) (int, error) {
	status, answer, err := l.tool(ctx, u, "fetch-stock-prices", `{}`)
	if err == nil {
		err = l.regional(u, answer, `"region":"`+u.region+`"`)
	}
	return status, err
}

func getStock(ctx context.Context, l *load, u *caller) (int, error) {
	symbol := l.market[u.region].symbols[u.quantity%len(l.market[u.region].symbols)]
	status, answer, err := l.tool(ctx, u, "get-stock", `{"symbol":"`+symbol+`"}`)
	if err == nil {
		err = l.regional(u, answer, `"symbol":"`+symbol+`"`)
	}
	return status, err
}

func listStocks(ctx context.Context, l *load, u *caller) (int, error) {
	status, answer, err := l.ask(ctx, http.MethodGet, "/stocks", u, "", http.StatusOK)
	if err == nil {
		err = l.regional(u, answer, `"region":"`+u.region+`"`)
	}
	return status, err
}

// order is an order as the API answers it.
type order struct {
	Symbol   string `json:"symbol"`
	Quantity int    `json:"quantity"`
}

func placeOrder(ctx context.Context, l *load, u *caller) (int, error) {
	m := l.market[u.region]
	body := fmt.Sprintf(`{"symbol":%q,"side":"buy","quantity":%d,"limit_price":"1000000","currency":%q}`, m.symbols[0], u.quantity, m.currency)
	status, answer, err := l.ask(ctx, http.MethodPost, "/orders", u, body, http.StatusCreated)
	if err != nil {
		return status, err
	}
	u.ordered.Store(true)
	var placed order
	if err := json.Unmarshal([]byte(answer), &placed); err != nil || placed != (order{m.symbols[0], u.quantity}) {
		return status, fmt.Errorf("ordered %s and got %s", body, answer)
	}
	return status, nil
}

// listOrders expects the user's own order if it was placed before, and none of
// anybody else's.
func listOrders(ctx context.Context, l *load, u *caller) (int, error) {
	ordered := u.ordered.Load()
	status, answer, err := l.ask(ctx, http.MethodGet, "/orders", u, "", http.StatusOK)
	if err != nil {
		return status, err
	}
	var list struct {
		Orders []order `json:"orders"`
	}
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		return status, err
	}
	if ordered && len(list.Orders) != 1 || len(list.Orders) > 1 {
		return status, fmt.Errorf("placed one order (%t) and sees %s", ordered, answer)
	}
	for _, o := range list.Orders {
		if o != (order{l.market[u.region].symbols[0], u.quantity}) {
			return status, fmt.Errorf("ordered %d and sees %s", u.quantity, answer)
		}
	}
	return status, nil
}

// ask calls the API.
func (l *load) ask(ctx context.Context, method, path string, u *caller, body string, want int) (status int, answer string, err error) {
	status, answer, err = l.do(ctx, method, l.APIResource()+path, u.api, body)
	if err == nil && status != want {
		err = fmt.Errorf("%s %s: %d %s", method, path, status, answer)
	}
	return status, answer, err
}

// tool calls a tool. Every call has an id of its own, which its answer repeats.
func (l *load) tool(ctx context.Context, u *caller, name, arguments string) (status int, answer string, err error) {
	id := l.id.Add(1)
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, name, arguments)
	status, answer, err = l.do(ctx, http.MethodPost, l.MCPResource(), u.mcp, body)
	if err == nil && (status != http.StatusOK || !strings.Contains(answer, fmt.Sprintf(`"id":%d,`, id)) || strings.Contains(answer, `"isError":true`)) {
		err = fmt.Errorf("call %d of %s: %d %s", id, name, status, answer)
	}
	return status, answer, err
}

// regional checks that an answer has what it should, and nothing of another
// region.
func (l *load) regional(u *caller, answer, want string) error {
	if !strings.Contains(answer, want) {
		return fmt.Errorf("no %s in %s", want, answer)
	}
	for region, m := range l.market {
		if region == u.region {
			continue
		}
		for _, symbol := range m.symbols {
			if strings.Contains(answer, `"`+symbol+`"`) {
				return fmt.Errorf("%s of %s in %s", symbol, region, answer)
			}
		}
	}
	return nil
}

// market is what there is to buy in a region.
type market struct {
	symbols  []string
	currency string
}

// readMarkets asks for the stocks of each user's region. No two have one in
// common, so that a symbol shows whose answer it is in.
func readMarkets(t *testing.T, c *chain, users []*user) map[string]market {
	t.Helper()
	markets, seen := map[string]market{}, map[string]bool{}
	for _, u := range users {
		var page struct {
			Region string
			Stocks []struct{ Symbol, Currency string }
		}
		status, answer, err := c.do(t.Context(), http.MethodGet, c.APIResource()+"/stocks", u.api, "")
		if err == nil {
			err = json.Unmarshal([]byte(answer), &page)
		}
		if err != nil || status != http.StatusOK || page.Region != u.region || len(page.Stocks) == 0 {
			t.Fatalf("the stocks of %s: %d %s %v", u.region, status, answer, err)
		}
		m := market{currency: page.Stocks[0].Currency}
		for _, s := range page.Stocks {
			if seen[s.Symbol] {
				t.Fatalf("%s is in two regions", s.Symbol)
			}
			seen[s.Symbol] = true
			m.symbols = append(m.symbols, s.Symbol)
		}
		markets[u.region] = m
	}
	return markets
}
