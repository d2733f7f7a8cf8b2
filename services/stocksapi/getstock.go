package stocksapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/problem"
)

// getStock serves GET /stocks/:symbol: one stock of the user's region.
type getStock struct {
	Gate    gate
	Catalog catalog
}

func (e *getStock) serve(c echo.Context) error {
	decision, err := e.Gate.allow(c.Request(), ReadStocks, nil)
	if err != nil {
		return err
	}
	if _, err := readQuery(c.Request()); err != nil {
		return err
	}
	company, ok := e.Catalog.find(decision.Region, c.Param("symbol"))
	if !ok {
		return noStock()
	}
	c.Response().Header().Set("Cache-Control", private)
	return c.JSON(http.StatusOK, company.quote(e.Gate.Now().Add(-decision.Delay), decision.Delay > 0))
}

// noStock answers for a stock that does not exist, and for one that does not
// exist for this user.
func noStock() *problem.Details {
	return notFound("There is no such stock in your region. GET /stocks lists those that there are.")
}
