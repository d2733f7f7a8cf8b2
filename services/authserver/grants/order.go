package grants

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"demo.example/services/internal/token"
)

const maxDetails = 1024 // bytes of authorization_details

// Forms of the fields of an order. All are ASCII: what looks like ALDP is ALDP.
var (
	symbolForm   = regexp.MustCompile(`^[A-Z0-9.]{1,12}$`)
	quantityForm = regexp.MustCompile(`^[1-9][0-9]{0,6}$`)
	sideForm     = regexp.MustCompile(`^(buy|sell)$`)
	typeForm     = regexp.MustCompile("^" + token.StockOrder + "$")
	priceForm    = regexp.MustCompile(token.LimitPriceForm())
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
)

// ParseOrder reads the authorization_details that a user is to approve (RFC
// 9396 §2): an array of exactly one stock_order.
//
// What is shown to the user here, and what the stocks API then compares an
// order with, must be the same thing. So nothing is left to interpretation:
// each field is there once, by its exact name, in its exact form, and there
// are no others.
func ParseOrder(raw string) (token.AuthorizationDetail, error) {
	none := token.AuthorizationDetail{}
	fields, err := onlyObject(raw)
	if err != nil {
		return none, err
	}
	text := func(name string, form *regexp.Regexp) string {
		value, ok := fields[name].(string)
		if !ok || !form.MatchString(value) {
			err = errors.Join(err, fmt.Errorf("%s must be a string of the form %s", name, form))
		}
		delete(fields, name)
		return value
	}
	order := token.AuthorizationDetail{
		Type:       text("type", typeForm),
		Symbol:     text("symbol", symbolForm),
		Side:       text("side", sideForm),
		LimitPrice: text("limit_price", priceForm),
		Currency:   text("currency", currencyForm),
	}
	number, ok := fields["quantity"].(json.Number)
	delete(fields, "quantity")
	if ok && quantityForm.MatchString(number.String()) { // 1e3 and 10.0 are numbers too
		order.Quantity, _ = strconv.Atoi(number.String())
	}
	switch {
	case err != nil:
		return none, err
	case order.Quantity < 1 || order.Quantity > token.MaxOrderQuantity:
		return none, fmt.Errorf("quantity must be a whole number from 1 to %d, written as digits", token.MaxOrderQuantity)
	case price(order.LimitPrice) == 0:
		return none, errors.New("limit_price must be more than nothing")
	case len(fields) > 0:
		return none, errors.New("a stock_order has type, symbol, side, quantity, limit_price and currency, and nothing else")
	}
	return order, nil
}

// onlyObject reads a JSON array of one flat object. The standard decoder takes
// the last of two equal names, and names in any case: here both are errors,
// since another reader might take the first.
func onlyObject(raw string) (map[string]any, error) {
	if len(raw) > maxDetails || !utf8.ValidString(raw) {
		return nil, fmt.Errorf("authorization_details must be JSON text of at most %d bytes", maxDetails)
	}
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	malformed := errors.New("authorization_details must be a JSON array of exactly one object, whose values are strings and numbers")
	for _, want := range []json.Delim{'[', '{'} {
		if t, err := d.Token(); err != nil || t != want {
			return nil, malformed
		}
	}
	fields := map[string]any{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, malformed
		}
		value, err := d.Token()
		if err != nil {
			return nil, malformed
		}
		if _, nested := value.(json.Delim); nested {
			return nil, malformed
		}
		if _, twice := fields[name.(string)]; twice {
			return nil, errors.New("authorization_details name a field twice")
		}
		fields[name.(string)] = value
	}
	for _, want := range []json.Delim{'}', ']'} {
		if t, err := d.Token(); err != nil || t != want {
			return nil, malformed
		}
	}
	if strings.TrimRight(raw[d.InputOffset():], " \t\r\n") != "" {
		return nil, malformed
	}
	return fields, nil
}

// price returns a decimal number in hundredths. It must have the form of a
// limit price.
func price(decimal string) int64 {
	whole, fraction, _ := strings.Cut(decimal, ".")
	n, _ := strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
	return n
}

// OrderText says an order in plain words.
func OrderText(o token.AuthorizationDetail) string {
	verb, bound, least := "Buy", "at no more than", ""
	if o.Side == "sell" {
		verb, bound, least = "Sell", "at no less than", "at least "
	}
	shares := "shares"
	if o.Quantity == 1 {
		shares = "share"
	}
	each := price(o.LimitPrice)
	return fmt.Sprintf("%s %s %s of %s %s %s %s each, %s%s %s in all", verb, grouped(strconv.Itoa(o.Quantity)), shares, o.Symbol,
		bound, money(each), o.Currency, least, money(each*int64(o.Quantity)), o.Currency)
}

// money writes hundredths with two decimals, so that nobody takes 365.5 for
// 36.55.
func money(n int64) string {
	return fmt.Sprintf("%s.%02d", grouped(strconv.FormatInt(n/100, 10)), n%100)
}

// grouped puts a comma between each three digits.
func grouped(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
