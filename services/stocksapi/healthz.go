package stocksapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// healthz serves GET /healthz. The service is healthy once it listens: where
// it has no signing keys yet it says so by 503, request by request, and heals
// without a restart.
func healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}
