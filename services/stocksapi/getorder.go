package stocksapi

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/token"
	"demo.example/services/stocksapi/store"
)

// getOrder serves GET /orders/:id: one order of the user's own.
type getOrder struct {
	Gate   gate
	Orders orderStore
}

func (e *getOrder) serve(c echo.Context) error {
	if _, err := e.Gate.allow(c.Request(), ReadOrders, nil); err != nil {
		return err
	}
	if _, err := readQuery(c.Request()); err != nil {
		return err
	}
	found, err := e.Orders.Order(c.Request().Context(), token.ClaimsFrom(c.Request().Context()).Subject, c.Param("id"))
	switch {
	case errors.Is(err, store.ErrNotFound): // another user's is as good as none
		return notFound("There is no such order of yours. GET /orders lists those that there are.")
	case err != nil:
		return unlessProblem(err)
	}
	c.Response().Header().Set("Cache-Control", private)
	return c.JSON(http.StatusOK, present(found))
}
