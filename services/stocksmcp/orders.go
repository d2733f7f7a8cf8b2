package stocksmcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"demo.example/services/internal/token"
)

// order is an order as the API executed it.
type order struct {
	ID            string `json:"id"`
	Status        string `json:"status"`
	Symbol        string `json:"symbol"`
	Side          string `json:"side"`
	Quantity      int    `json:"quantity" jsonschema:"shares"`
	LimitPrice    string `json:"limit_price" jsonschema:"decimal number"`
	ExecutedPrice string `json:"executed_price" jsonschema:"of one share, decimal number"`
	Currency      string `json:"currency" jsonschema:"ISO 4217 code, of both prices"`
}

// What becomes of an order that is not executed.
const (
	orderRefused   explanation = "The stocks service does not take this order. Nothing was placed. Check symbol, side, quantity and limit_price."
	orderForbidden explanation = "Not allowed: this client may not place orders for this user. Nothing was placed. " +
		"Trying again will not help; an administrator can grant access."
	signInTooOld explanation = "The user signed in too long ago for an order. Nothing was placed. Call place-order again: " +
		"the page on which the user approves asks for a new sign-in."
	outcomeUnknown explanation = "It is not known whether the order was placed: the stocks service stopped answering. " +
		"Look at the user's orders before you order again."
)

// Forms of what a refusal tells of the price: nothing else of it is repeated.
var (
	priceForm    = regexp.MustCompile(`^[0-9]{1,12}(\.[0-9]{1,4})?$`)
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
)

// order places the order that accessToken is good for. A request that gets no
// answer is sent once more: the API knows the order by its approval, and does
// not place it twice.
func (c *stocksClient) order(ctx context.Context, accessToken string, o token.AuthorizationDetail) (order, error) {
	body, err := json.Marshal(map[string]any{
		"symbol": o.Symbol, "side": o.Side, "quantity": o.Quantity, "limit_price": o.LimitPrice, "currency": o.Currency,
	})
	if err != nil {
		return order{}, err
	}
	orders := c.URL.JoinPath("orders")
	answer, err := c.send(ctx, accessToken, http.MethodPost, orders, body)
	if err != nil || answer.status >= http.StatusInternalServerError {
		answer, err = c.send(ctx, accessToken, http.MethodPost, orders, body)
	}
	if err != nil {
		return order{}, fmt.Errorf("%w (%w)", outcomeUnknown, err)
	}
	if answer.status != http.StatusOK && answer.status != http.StatusCreated {
		return order{}, orderRefusal(answer, o)
	}
	var placed order
	if json.Unmarshal(answer.body, &placed) != nil || placed.ID == "" || placed.Status != "executed" || !priceForm.MatchString(placed.ExecutedPrice) {
		return order{}, fmt.Errorf("%w (%w: stocks API: unexpected answer)", outcomeUnknown, errUnavailable)
	}
	return placed, nil
}

// orderRefusal says what an answer other than an order means for the user.
func orderRefusal(answer apiAnswer, o token.AuthorizationDetail) error {
	switch answer.status {
	case http.StatusConflict:
		return outsideLimit(answer.body, o)
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w (stocks API: %d)", orderRefused, answer.status)
	case http.StatusNotFound:
		return errNoStock
	case http.StatusForbidden:
		return fmt.Errorf("%w (stocks API: %d)", orderForbidden, answer.status)
	case http.StatusUnauthorized:
		if strings.Contains(answer.challenge, `error="insufficient_user_authentication"`) { // RFC 9470 §3
			return signInTooOld
		}
		return fmt.Errorf("%w: stocks API: %d", errUnavailable, answer.status)
	}
	return fmt.Errorf("%w (%w: stocks API: %d)", outcomeUnknown, errUnavailable, answer.status)
}

// outsideLimit says that the price moved, and to what.
func outsideLimit(problem []byte, o token.AuthorizationDetail) error {
	var now struct {
		Price    string `json:"current_price"`
		Currency string `json:"currency"`
	}
	hint := "Ask for its price with get-stock."
	if json.Unmarshal(problem, &now) == nil && priceForm.MatchString(now.Price) && currencyForm.MatchString(now.Currency) {
		hint = fmt.Sprintf("It is %s %s now.", now.Price, now.Currency)
	}
	return explanation(fmt.Sprintf("Nothing was placed: the price of %s is not within the limit of %s %s any more. %s "+
		"The approval is used up: an order with another limit needs the user's approval again.", o.Symbol, o.LimitPrice, o.Currency, hint))
}

// orderText says to people what was done.
func orderText(o order) string {
	return fmt.Sprintf("Order %s is executed: %s %d %s at %s %s a share (limit %s).\n",
		cell(o.ID), cell(o.Side), o.Quantity, cell(o.Symbol), cell(o.ExecutedPrice), cell(o.Currency), cell(o.LimitPrice))
}
