package stocksapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"demo.example/services/internal/problem"
	"demo.example/services/internal/token"
)

// order is what a client asks for. All of it has to be there.
type order struct {
	Symbol     string
	Side       string // "buy" or "sell"
	Quantity   int    // shares
	LimitPrice string // decimal; at most when buying, at least when selling
	Currency   string // of the limit, the stock's
}

const maxOrderBody = 4 << 10 // bytes

// readOrder reads the body of a request for an order. It is stricter than
// encoding/json, which lets the last of two equal names win, ignores case and
// unknown names: an order that two programs read differently is not placed.
func readOrder(w http.ResponseWriter, r *http.Request) (*order, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || media != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") || r.Header.Get("Content-Encoding") != "" {
		return nil, &problem.Details{
			Status: http.StatusUnsupportedMediaType, Title: "Unsupported media type",
			Detail: "Send the order as JSON, with Content-Type: application/json and no Content-Encoding.",
		}
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOrderBody))
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return nil, &problem.Details{
			Status: http.StatusRequestEntityTooLarge, Title: "Too large", Detail: "An order has few hundred bytes.",
		}
	}
	if err != nil {
		return nil, badRequest("The body of the request cannot be read.")
	}
	return parseOrder(b)
}

// parseOrder returns the order in b, or the problem to answer with.
func parseOrder(b []byte) (*order, error) {
	o := new(order)
	fields := map[string]any{
		"symbol": &o.Symbol, "side": &o.Side, "quantity": &o.Quantity, "limit_price": &o.LimitPrice, "currency": &o.Currency,
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, badRequest("The body has to be a JSON object.")
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, badRequest("The body is not valid JSON.")
		}
		name, _ := t.(string) // what stands where a name belongs is one
		field, ok := fields[name]
		if !ok {
			return nil, badRequest("%q is not a member of an order, or there twice. It has symbol, side, quantity, limit_price and currency.", shorten(name))
		}
		delete(fields, name)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, badRequest("The body is not valid JSON.")
		}
		if err := json.Unmarshal(value, field); err != nil || bytes.Equal(value, []byte("null")) {
			return nil, badRequest("%s has to be %s.", name, map[bool]string{true: "a whole number", false: "a string"}[name == "quantity"])
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, badRequest("The body is not valid JSON.")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, badRequest("There is something after the order. Send one order a request.")
	}
	for _, name := range []string{"symbol", "side", "quantity", "limit_price", "currency"} {
		if _, missing := fields[name]; missing {
			return nil, badRequest("%s is missing.", name)
		}
	}
	switch {
	case o.Side != "buy" && o.Side != "sell":
		return nil, badRequest("side has to be buy or sell.")
	case o.Quantity < 1 || o.Quantity > token.MaxOrderQuantity:
		return nil, badRequest("quantity has to be from 1 to %d.", token.MaxOrderQuantity)
	}
	if limit, err := parseDecimal(o.LimitPrice, token.MaxPriceDecimals); err != nil {
		return nil, badRequest("limit_price: %s.", err)
	} else if limit == 0 {
		return nil, badRequest("limit_price has to be more than 0.")
	}
	return o, nil
}

// sameAmount reports whether two decimals are the same number. One that is
// malformed is the same as none.
func sameAmount(a, b string) bool {
	x, errX := parseDecimal(a, token.MaxPriceDecimals)
	y, errY := parseDecimal(b, token.MaxPriceDecimals)
	return errX == nil && errY == nil && x == y
}
