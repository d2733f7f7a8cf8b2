// Package store is what the stocks API keeps: the orders of its users.
package store

import (
	"errors"
	"time"
)

// ErrNotFound is the answer for an order that there is not, or not for this
// user.
var ErrNotFound = errors.New("not found")

// Order is an order that was executed. Others are not kept.
type Order struct {
	ID       string
	Once     string // no two orders have the same; empty for an order that may be repeated
	UserID   string
	ClientID string // that placed it
	GrantID  string // by which the client could
	Approval string // of the user, when an AI agent placed it

	Symbol        string
	Side          string // "buy" or "sell"
	Quantity      int    // shares
	LimitPrice    string // decimal
	ExecutedPrice string // decimal
	Currency      string // ISO 4217
	CreatedAt     time.Time
}
