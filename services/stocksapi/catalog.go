package stocksapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

// Region is a market. It decides which stocks exist for a user.
type Region string

// The regions that there are.
const (
	USA    Region = "USA"
	Europe Region = "Europe"
	Asia   Region = "Asia"
)

// company is one whose shares are traded. All of them are invented.
type company struct {
	Symbol         string
	Name           string
	Region         Region
	Currency       string // ISO 4217
	Digits         int    // decimal places of its prices
	ReferencePrice int64  // in units of the last place; prices move around it
}

// catalog is every company by region, in order of symbol.
type catalog map[Region][]company

//go:embed stocks.json
var stocksJSON []byte

func loadCatalog() (catalog, error) {
	var markets []struct {
		Region Region `json:"region"`
		Stocks []struct {
			Symbol         string `json:"symbol"`
			Name           string `json:"name"`
			Currency       string `json:"currency"`
			ReferencePrice string `json:"reference_price"`
		} `json:"stocks"`
	}
	if err := json.Unmarshal(stocksJSON, &markets); err != nil {
		return nil, fmt.Errorf("stocks.json: %w", err)
	}
	all := catalog{}
	for _, m := range markets {
		for _, s := range m.Stocks {
			_, fraction, _ := strings.Cut(s.ReferencePrice, ".")
			price, err := parseDecimal(s.ReferencePrice, len(fraction))
			if err != nil {
				return nil, fmt.Errorf("stocks.json: %s: %w", s.Symbol, err)
			}
			all[m.Region] = append(all[m.Region], company{s.Symbol, s.Name, m.Region, s.Currency, len(fraction), price})
		}
	}
	return all, nil
}

// find returns a company of one region. Those of others do not exist for the
// caller, so that nobody can learn of them by asking.
func (c catalog) find(region Region, symbol string) (company, bool) {
	for _, s := range c[region] {
		if s.Symbol == symbol {
			return s, true
		}
	}
	return company{}, false
}
