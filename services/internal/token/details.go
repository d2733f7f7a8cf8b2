package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// parseDetails reads the claim authorization_details (RFC 9396 §9.1). Details
// of other types are passed over, as they are no business of ours. One that is
// malformed spoils them all: what the user approved is then not known. Names
// count as they are spelled, unlike in encoding/json.
func parseDetails(b []byte) ([]AuthorizationDetail, error) {
	var raw []map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, errors.New("authorization_details is not an array of objects")
	}
	var details []AuthorizationDetail
	for _, members := range raw {
		var d AuthorizationDetail
		if err := decode(members["type"], &d.Type); err != nil || d.Type == "" {
			return nil, errors.New("a detail has no type")
		}
		if d.Type != StockOrder {
			continue
		}
		fields := map[string]any{
			"type": &d.Type, "symbol": &d.Symbol, "side": &d.Side, "quantity": &d.Quantity,
			"limit_price": &d.LimitPrice, "currency": &d.Currency, "approval": &d.Approval,
		}
		for name, value := range members {
			field, ok := fields[name]
			if !ok {
				return nil, errors.New("a stock_order has an unknown member") // it could be a condition
			}
			if err := decode(value, field); err != nil {
				return nil, fmt.Errorf("%s of a stock_order is not what it should be", name)
			}
		}
		details = append(details, d)
	}
	return details, nil
}

// decode reads one value, which may not be null: encoding/json leaves a field
// alone that is null.
func decode(value json.RawMessage, field any) error {
	if len(value) == 0 || bytes.Equal(value, []byte("null")) {
		return io.ErrUnexpectedEOF
	}
	return json.Unmarshal(value, field)
}
