package stocksapi

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// openapiJSON describes the API (OpenAPI 3.1). It is written by hand, to be
// read; the tests hold the routes and every answer to it.
//
//go:embed openapi.json
var openapiJSON []byte

// openapi serves GET /openapi.json to everybody: it tells nothing that depends
// on a user.
func openapi(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "public, max-age=300")
	return c.Blob(http.StatusOK, "application/json", openapiJSON)
}
