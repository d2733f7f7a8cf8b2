package stocksapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// listStocks serves GET /stocks: the stocks of the user's region.
type listStocks struct {
	Gate    gate
	Catalog catalog
}

// stockList is its answer.
type stockList struct {
	Region Region  `json:"region"`
	Stocks []Stock `json:"stocks"`
}

func (e *listStocks) serve(c echo.Context) error {
	region, err := e.Gate.read(c)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", private)
	return c.JSON(http.StatusOK, stockList{region, e.Catalog[region]})
}
