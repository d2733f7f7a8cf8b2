package grants

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
)

const goodOrder = `[{"type":"stock_order","symbol":"ALDP","side":"buy","quantity":10,"limit_price":"365.00","currency":"USD"}]`

// otherOrder is the good order with one piece of text replaced.
func otherOrder(old, with string) string { return strings.Replace(goodOrder, old, with, 1) }

func TestParseOrder(t *testing.T) {
	want := token.AuthorizationDetail{Type: "stock_order", Symbol: "ALDP", Side: "buy", Quantity: 10, LimitPrice: "365.00", Currency: "USD"}
	for name, raw := range map[string]string{
		"plain":              goodOrder,
		"white space":        " [ \n" + goodOrder[1:len(goodOrder)-1] + "\t] \r\n",
		"escaped letter":     otherOrder("ALDP", `\u0041LDP`),
		"escaped field name": otherOrder(`"symbol"`, `"s\u0079mbol"`),
	} {
		got, err := ParseOrder(raw)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestParseOrderRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing":                   "",
		"null":                      "null",
		"no array":                  goodOrder[1 : len(goodOrder)-1],
		"empty array":               "[]",
		"array in an array":         "[" + goodOrder + "]",
		"two orders":                "[" + goodOrder[1:len(goodOrder)-1] + "," + goodOrder[1:len(goodOrder)-1] + "]",
		"something behind":          goodOrder + "[]",
		"cut off":                   goodOrder[:len(goodOrder)-1],
		"another type":              otherOrder("stock_order", "payment"),
		"no type":                   otherOrder(`"type":"stock_order",`, ""),
		"approval brought along":    otherOrder(`"currency"`, `"approval":"x","currency"`),
		"unknown field":             otherOrder(`"currency"`, `"memo":"x","currency"`),
		"twice":                     otherOrder(`"quantity":10`, `"quantity":10,"quantity":1000`),
		"twice, once escaped":       otherOrder(`"quantity":10`, `"quantity":10,"quantit\u0079":1000`),
		"other case":                otherOrder(`"quantity":10`, `"Quantity":10`),
		"both cases":                otherOrder(`"quantity":10`, `"quantity":10,"QUANTITY":1000`),
		"float":                     otherOrder("10,", "10.0,"),
		"exponent":                  otherOrder("10,", "1e1,"),
		"fraction":                  otherOrder("10,", "10.5,"),
		"quantity as text":          otherOrder("10,", `"10",`),
		"no shares":                 otherOrder("10,", "0,"),
		"negative":                  otherOrder("10,", "-10,"),
		"too many":                  otherOrder("10,", "10001,"),
		"more than a number holds":  otherOrder("10,", "100000000000000000000000,"),
		"small letters":             otherOrder("ALDP", "aldp"),
		"no symbol":                 otherOrder("ALDP", ""),
		"long symbol":               otherOrder("ALDP", "ABCDEFGHIJKLM"),
		"Cyrillic letter":           otherOrder("ALDP", "АLDP"),
		"full width":                otherOrder("ALDP", "ＡＬＤＰ"),
		"zero width":                otherOrder("ALDP", "AL\u200bDP"),
		"reordering":                otherOrder("ALDP", "\u202eALDP"),
		"escaped reordering":        otherOrder("ALDP", `\u202eALDP`),
		"line break":                otherOrder("ALDP", `ALDP\n`),
		"NUL":                       otherOrder("ALDP", `ALDP\u0000`),
		"half a character":          otherOrder("ALDP", `ALDP\ud800`),
		"not UTF-8":                 otherOrder("ALDP", "ALDP\xff"),
		"other side":                otherOrder("buy", "hold"),
		"capital side":              otherOrder("buy", "BUY"),
		"price as number":           otherOrder(`"365.00"`, "365.00"),
		"price of three decimals":   otherOrder("365.00", "365.001"),
		"price of nothing":          otherOrder("365.00", "0.00"),
		"negative price":            otherOrder("365.00", "-365.00"),
		"price with a comma":        otherOrder("365.00", "3,650.00"),
		"price that ends in a dot":  otherOrder("365.00", "365."),
		"leading zero":              otherOrder("365.00", "0365.00"),
		"Arabic digits":             otherOrder("365.00", "٣٦٥.00"),
		"price beyond the bound":    otherOrder("365.00", "100000000"),
		"price as an exponent":      otherOrder("365.00", "1e9"),
		"not a number":              otherOrder("365.00", "NaN"),
		"currency in small letters": otherOrder("USD", "usd"),
		"currency of two letters":   otherOrder("USD", "US"),
		"nested":                    otherOrder(`"USD"`, `{"a":1}`),
		"too long":                  otherOrder(`"USD"`, `"USD"`+strings.Repeat(" ", 2000)),
	} {
		if got, err := ParseOrder(raw); err == nil {
			t.Errorf("%s: %s became %+v", name, raw, got)
		}
	}
}

func TestOrderText(t *testing.T) {
	order := func(side string, quantity int, limit, currency string) token.AuthorizationDetail {
		return token.AuthorizationDetail{Symbol: "ALDP", Side: side, Quantity: quantity, LimitPrice: limit, Currency: currency}
	}
	for want, o := range map[string]token.AuthorizationDetail{
		"Buy 10 shares of ALDP at no more than 365.00 USD each, 3,650.00 USD in all":                              order("buy", 10, "365.00", "USD"),
		"Buy 10 shares of ALDP at no more than 365.50 USD each, 3,655.00 USD in all":                              order("buy", 10, "365.5", "USD"),
		"Sell 1 share of ALDP at no less than 0.01 EUR each, at least 0.01 EUR in all":                            order("sell", 1, "0.01", "EUR"),
		"Buy 10,000 shares of ALDP at no more than 99,999,999.99 USD each, 999,999,999,900.00 USD in all":         order("buy", token.MaxOrderQuantity, "99999999.99", "USD"),
		"Sell 1,234 shares of ALDP at no less than 1,000.15 JPY each, at least 1,234,185.10 JPY in all":           order("sell", 1234, "1000.15", "JPY"),
		"Buy 999 shares of ALDP at no more than 1.00 USD each, 999.00 USD in all":                                 order("buy", 999, "1", "USD"),
		"Sell 1,000 shares of ALDP at no less than 12,345,678.00 USD each, at least 12,345,678,000.00 USD in all": order("sell", 1000, "12345678", "USD"),
		"Buy 3 shares of ALDP at no more than 0.10 USD each, 0.30 USD in all":                                     order("buy", 3, "0.1", "USD"),
		"Sell 7 shares of ALDP at no less than 10.01 USD each, at least 70.07 USD in all":                         order("sell", 7, "10.01", "USD"),
	} {
		if got := OrderText(o); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// FuzzParseOrder: what is accepted is in bounds, is read the same by the
// standard decoder, and says itself in characters that cannot mislead.
func FuzzParseOrder(f *testing.F) {
	for _, seed := range []string{
		goodOrder, "", "[]", "[{}]", otherOrder("10,", "1e1,"), otherOrder("10,", "10.0,"), otherOrder(`"quantity":10`, `"quantity":10,"quantity":1000`),
		otherOrder("ALDP", "\u202eALDP"), otherOrder("ALDP", `\u0041LDP`), otherOrder("365.00", "99999999.99"), otherOrder("10,", "10000,"), goodOrder + goodOrder,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := ParseOrder(raw)
		if err != nil {
			if got != (token.AuthorizationDetail{}) {
				t.Errorf("%q: an error and %+v", raw, got)
			}
			return
		}
		var std []token.AuthorizationDetail
		if err := json.Unmarshal([]byte(raw), &std); err != nil || len(std) != 1 || std[0] != got {
			t.Errorf("%q: %+v, and to the standard decoder %+v, %v", raw, got, std, err)
		}
		if limit, err := strconv.ParseFloat(got.LimitPrice, 64); err != nil || limit <= 0 || limit >= 1e8 || got.Quantity < 1 || got.Quantity > token.MaxOrderQuantity {
			t.Errorf("%q: %+v is out of bounds", raw, got)
		}
		text := OrderText(got)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || strings.Contains(text, "-") {
			t.Errorf("%q: %q", raw, text)
		}
		again, err := json.Marshal([]token.AuthorizationDetail{got})
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := ParseOrder(string(again)); err != nil || twice != got {
			t.Errorf("%q: its canonical form is read as %+v, %v", raw, twice, err)
		}
	})
}
