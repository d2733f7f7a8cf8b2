package stocksapi

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/problem"
	"demo.example/services/internal/token"
	"demo.example/services/stocksapi/store"
)

// orderStore keeps orders. Package store/storetest says what it has to hold.
type orderStore interface {
	Place(ctx context.Context, once string, execute func() (store.Order, error)) (o store.Order, isNew bool, err error)
	Order(ctx context.Context, userID, id string) (store.Order, error)
	Orders(ctx context.Context, userID, before string, limit int) ([]store.Order, error)
}

// placeOrder serves POST /orders. An order is executed at once, at the price
// of this minute, or not at all.
//
// An AI agent's order is named by the approval of its user: sent again, with
// the same approval, it answers with the order that there is. Other clients
// may name theirs with Idempotency-Key.
type placeOrder struct {
	Gate    gate
	Catalog catalog
	Orders  orderStore
	Log     *slog.Logger
}

// placedOrder is an order as the API answers it.
type placedOrder struct {
	ID            string    `json:"id"`
	Status        string    `json:"status"` // always executed: others are not kept
	Symbol        string    `json:"symbol"`
	Side          string    `json:"side"`
	Quantity      int       `json:"quantity"`
	LimitPrice    string    `json:"limit_price"`
	ExecutedPrice string    `json:"executed_price"`
	Currency      string    `json:"currency"`
	CreatedAt     time.Time `json:"created_at"`
	ClientID      string    `json:"client_id"`
	Approval      string    `json:"approval,omitempty"`
}

func present(o store.Order) placedOrder {
	return placedOrder{
		o.ID, "executed", o.Symbol, o.Side, o.Quantity, o.LimitPrice, o.ExecutedPrice, o.Currency, o.CreatedAt, o.ClientID, o.Approval,
	}
}

func (e *placeOrder) serve(c echo.Context) error {
	r := c.Request()
	wanted, malformed := readOrder(c.Response(), r) // what is malformed is told to those alone who may place orders
	decision, err := e.Gate.allow(r, PlaceOrder, wanted)
	if err != nil {
		return err
	}
	if malformed != nil {
		return malformed
	}
	if _, err := readQuery(r); err != nil {
		return err
	}
	company, ok := e.Catalog.find(decision.Region, wanted.Symbol)
	if !ok {
		return noStock()
	}
	limit, err := company.limit(*wanted)
	if err != nil {
		return err
	}
	claims := token.ClaimsFrom(r.Context())
	once, err := onceOf(r.Header, claims, decision)
	if err != nil {
		return err
	}
	placed, isNew, err := e.Orders.Place(r.Context(), once, func() (store.Order, error) {
		now := e.Gate.Now()
		price := company.priceAt(now)
		if wanted.Side == "buy" && price > limit || wanted.Side == "sell" && price < limit {
			return store.Order{}, outsideLimit(company, price)
		}
		return store.Order{
			ID: rand.Text(), UserID: claims.Subject, ClientID: claims.ClientID, GrantID: claims.GrantID, Approval: decision.Approval,
			Symbol: company.Symbol, Side: wanted.Side, Quantity: wanted.Quantity, Currency: company.Currency,
			LimitPrice: formatDecimal(limit, company.Digits), ExecutedPrice: formatDecimal(price, company.Digits),
			CreatedAt: now.UTC().Truncate(time.Millisecond),
		}, nil
	})
	switch {
	case err != nil:
		return unlessProblem(err)
	case placed.UserID != claims.Subject || placed.ClientID != claims.ClientID:
		return &problem.Details{
			Status: http.StatusForbidden, Title: "Not allowed",
			Detail: "This approval was used by another client. Ask the user to approve a new order.",
		}
	case !same(placed, *wanted):
		return &problem.Details{
			Status: http.StatusUnprocessableEntity, Title: "Idempotency-Key used before",
			Detail: "An order with this Idempotency-Key differs from this one. Send another order with another key.",
		}
	}
	e.Log.Info("order", "request_id", httpserver.RequestID(r.Context()), "order_id", placed.ID, "new", isNew, "sub", claims.Subject,
		"client_id", claims.ClientID, "grant_id", claims.GrantID, "approval", placed.Approval,
		"symbol", placed.Symbol, "side", placed.Side, "quantity", placed.Quantity, "executed_price", placed.ExecutedPrice)
	c.Response().Header().Set("Cache-Control", private)
	if !isNew {
		return c.JSON(http.StatusOK, present(placed))
	}
	c.Response().Header().Set("Location", "/orders/"+placed.ID)
	return c.JSON(http.StatusCreated, present(placed))
}

// limit returns the limit of an order for shares of c.
func (c company) limit(o order) (int64, error) {
	if o.Currency != c.Currency {
		return 0, badRequest("%s is traded in %s: send that currency and the limit_price in it.", c.Symbol, c.Currency)
	}
	limit, err := parseDecimal(o.LimitPrice, c.Digits)
	if err != nil {
		return 0, badRequest("limit_price: %s.", err)
	}
	return limit, nil
}

// outsideLimit says what the price is, so that the client can ask again with
// another limit.
func outsideLimit(c company, price int64) *problem.Details {
	return &problem.Details{
		Status: http.StatusConflict, Title: "Price outside the limit",
		Detail: fmt.Sprintf("%s costs %s %s now, which the limit does not allow. Nothing was bought or sold; place a new order with another limit.",
			c.Symbol, formatDecimal(price, c.Digits), c.Currency),
		Members: map[string]string{"current_price": formatDecimal(price, c.Digits), "currency": c.Currency},
	}
}

// idempotencyKey is what a client may call its order.
var idempotencyKey = regexp.MustCompile(`^[!-~]{1,128}$`)

// onceOf returns what no two orders may have in common. An approval is good
// for one order, whoever brings it; a key is the client's own for its user.
func onceOf(h http.Header, claims *token.Claims, d Decision) (string, error) {
	if d.Approval != "" {
		return "approval " + d.Approval, nil
	}
	switch keys := h.Values("Idempotency-Key"); {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1 || !idempotencyKey.MatchString(keys[0]):
		return "", badRequest("Send one Idempotency-Key of up to 128 visible ASCII characters.")
	default:
		return fmt.Sprintf("key %q %q %q", claims.Subject, claims.ClientID, keys[0]), nil
	}
}

// same reports whether an order is the one that is wanted.
func same(placed store.Order, wanted order) bool {
	return placed.Symbol == wanted.Symbol && placed.Side == wanted.Side && placed.Quantity == wanted.Quantity &&
		placed.Currency == wanted.Currency && sameAmount(placed.LimitPrice, wanted.LimitPrice)
}
