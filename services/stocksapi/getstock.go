package stocksapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// getStock serves GET /stocks/:symbol: one stock of the user's region.
type getStock struct {
	Gate    gate
	Catalog catalog
}

func (e *getStock) serve(c echo.Context) error {
	region, err := e.Gate.read(c)
	if err != nil {
		return err
	}
	stock, ok := e.Catalog.find(region, c.Param("symbol"))
	if !ok {
		return notFound("There is no such stock in your region. GET /stocks lists those that there are.")
	}
	c.Response().Header().Set("Cache-Control", private)
	return c.JSON(http.StatusOK, stock)
}
