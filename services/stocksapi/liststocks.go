package stocksapi

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// listStocks serves GET /stocks: the stocks of the user's region.
type listStocks struct {
	Gate    gate
	Catalog catalog
}

// stockList is its answer.
type stockList struct {
	Region     Region  `json:"region"`
	Stocks     []Stock `json:"stocks"`
	NextCursor string  `json:"next_cursor,omitempty"`
}

// sorting is how a list can be sorted. Ties are resolved by the symbol, which
// is in no region twice, so that every list has one order.
var sorting = map[string]func(a, b Stock) int{
	"symbol":         func(a, b Stock) int { return strings.Compare(a.Symbol, b.Symbol) },
	"name":           func(a, b Stock) int { return strings.Compare(a.Name, b.Name) },
	"price":          func(a, b Stock) int { return cmp.Compare(a.number, b.number) }, // whatever the currencies are worth
	"change_percent": func(a, b Stock) int { return cmp.Compare(a.change, b.change) },
}

func (e *listStocks) serve(c echo.Context) error {
	decision, err := e.Gate.allow(c.Request(), ReadStocks, nil)
	if err != nil {
		return err
	}
	q, err := readQuery(c.Request(), "symbol", "name", "sort", "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	list, err := e.page(decision, q, limit)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", private)
	return c.JSON(http.StatusOK, list)
}

// page returns the part of the region's stocks that is asked for.
func (e *listStocks) page(d Decision, q query, limit int) (stockList, error) {
	key := cmp.Or(q["sort"], "symbol")
	compare, ok := sorting[strings.TrimPrefix(key, "-")]
	if !ok {
		return stockList{}, badRequest("sort has to be symbol, name, price or change_percent, with a - in front for the largest first.")
	}
	latest := e.Gate.Now().Add(-d.Delay)
	from := cursor{Sort: key, Minute: latest.Unix() / 60}
	if raw, ok := q["cursor"]; ok {
		var err error
		if from, err = parseCursor(raw); err != nil || from.Sort != key {
			return stockList{}, badCursor()
		}
	}
	at, err := from.time(latest)
	if err != nil {
		return stockList{}, badCursor()
	}
	all := e.sorted(d, at, compare, strings.HasPrefix(key, "-"))
	if from.After != "" {
		i := slices.IndexFunc(all, func(s Stock) bool { return s.Symbol == from.After })
		if i < 0 {
			return stockList{}, badCursor()
		}
		all = all[i+1:]
	}
	list := stockList{Region: d.Region, Stocks: filter(all, q)}
	if len(list.Stocks) > limit {
		list.Stocks = list.Stocks[:limit]
		from.After = list.Stocks[limit-1].Symbol
		list.NextCursor = from.String()
	}
	return list, nil
}

// sorted returns all stocks of the caller's region with their prices.
func (e *listStocks) sorted(d Decision, at time.Time, compare func(a, b Stock) int, descending bool) []Stock {
	var all []Stock
	for _, company := range e.Catalog[d.Region] {
		all = append(all, company.quote(at, d.Delay > 0))
	}
	slices.SortFunc(all, func(a, b Stock) int {
		order := compare(a, b)
		if descending {
			order = -order
		}
		return cmp.Or(order, strings.Compare(a.Symbol, b.Symbol))
	})
	return all
}

// filter keeps the stocks with one of the symbols, and with a text in the name.
func filter(all []Stock, q query) []Stock {
	kept := []Stock{}
	symbols := strings.Split(q["symbol"], ",")
	name := strings.ToLower(q["name"])
	for _, s := range all {
		if (q["symbol"] == "" || slices.Contains(symbols, s.Symbol)) && strings.Contains(strings.ToLower(s.Name), name) {
			kept = append(kept, s)
		}
	}
	return kept
}

func badCursor() error {
	return badRequest("The cursor is not one of this list, or over an hour old. Begin again without it, with the same sort for every page.")
}
