package stocksapi

import (
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/token"
	"demo.example/services/stocksapi/store"
)

// listOrders serves GET /orders: the user's own, the newest first.
type listOrders struct {
	Gate   gate
	Orders orderStore
}

// orderList is its answer.
type orderList struct {
	Orders     []placedOrder `json:"orders"`
	NextCursor string        `json:"next_cursor,omitempty"`
}

func (e *listOrders) serve(c echo.Context) error {
	if _, err := e.Gate.allow(c.Request(), ReadOrders, nil); err != nil {
		return err
	}
	q, err := readQuery(c.Request(), "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	// The cursor is the id of the last order of the page before: orders that
	// come meanwhile are in front of the first page.
	before, err := base64.RawURLEncoding.Strict().DecodeString(q["cursor"])
	if err != nil {
		return badOrderCursor()
	}
	user := token.ClaimsFrom(c.Request().Context()).Subject
	found, err := e.Orders.Orders(c.Request().Context(), user, string(before), limit+1)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return badOrderCursor()
	case err != nil:
		return unlessProblem(err)
	}
	list := orderList{Orders: []placedOrder{}}
	if len(found) > limit {
		found = found[:limit]
		list.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(found[limit-1].ID))
	}
	for _, o := range found {
		list.Orders = append(list.Orders, present(o))
	}
	c.Response().Header().Set("Cache-Control", private)
	return c.JSON(http.StatusOK, list)
}

func badOrderCursor() error {
	return badRequest("The cursor is not one of this list. Begin again without it.")
}
