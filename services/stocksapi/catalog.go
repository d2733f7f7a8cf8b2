package stocksapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"
)

// Region is a market. It decides which stocks exist for a user.
type Region string

// The regions that there are.
const (
	USA    Region = "USA"
	Europe Region = "Europe"
	Asia   Region = "Asia"
)

// Stock is one company's share and what it last cost. The companies are
// invented.
type Stock struct {
	Symbol        string    `json:"symbol"`
	Name          string    `json:"name"`
	Region        Region    `json:"region"`
	Currency      string    `json:"currency"`       // ISO 4217
	Price         string    `json:"price"`          // decimal: money is no float
	ChangePercent string    `json:"change_percent"` // signed decimal, since the day before
	AsOf          time.Time `json:"as_of"`
}

// catalog is every stock by region, in order of symbol.
type catalog map[Region][]Stock

//go:embed stocks.json
var stocksJSON []byte

func loadCatalog() (catalog, error) {
	var markets []struct {
		Region Region    `json:"region"`
		AsOf   time.Time `json:"as_of"`
		Stocks []Stock   `json:"stocks"`
	}
	if err := json.Unmarshal(stocksJSON, &markets); err != nil {
		return nil, fmt.Errorf("stocks.json: %w", err)
	}
	all := catalog{}
	for _, m := range markets {
		for _, s := range m.Stocks {
			s.Region, s.AsOf = m.Region, m.AsOf
			all[m.Region] = append(all[m.Region], s)
		}
	}
	return all, nil
}

// find returns a stock of one region. Those of others do not exist for the
// caller, so that nobody can learn of them by asking.
func (c catalog) find(region Region, symbol string) (Stock, bool) {
	for _, s := range c[region] {
		if s.Symbol == symbol {
			return s, true
		}
	}
	return Stock{}, false
}
