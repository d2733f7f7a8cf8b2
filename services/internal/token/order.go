package token

import "fmt"

// StockOrder is the type of an authorization detail that allows one order.
const StockOrder = "stock_order"

// AuthorizationDetail is an order as the user approved it (RFC 9396 §2).
type AuthorizationDetail struct {
	Type       string `json:"type"` // StockOrder
	Symbol     string `json:"symbol"`
	Side       string `json:"side"`               // "buy" or "sell"
	Quantity   int    `json:"quantity"`           // shares
	LimitPrice string `json:"limit_price"`        // of one share, a decimal number: at most when buying, at least when selling
	Currency   string `json:"currency"`           // of the limit, ISO 4217
	Approval   string `json:"approval,omitempty"` // id of the user's approval, which is good for one order
}

// Bounds of an order, the same for whoever asks for one, approves and places
// it. The sum, in hundredths, stays far below what 64 bits hold.
const (
	MaxOrderQuantity = 10_000 // shares
	MaxPriceWhole    = 8      // digits of a price before the point
	MaxPriceDecimals = 2      // and behind it, in any currency
)

// LimitPriceForm is the form of a limit price as a regular expression, which
// Go and JSON Schema read alike.
func LimitPriceForm() string {
	return fmt.Sprintf(`^(0|[1-9][0-9]{0,%d})(\.[0-9]{1,%d})?$`, MaxPriceWhole-1, MaxPriceDecimals)
}
