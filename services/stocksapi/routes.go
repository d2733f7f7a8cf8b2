package stocksapi

import (
	"log/slog"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
)

// private keeps answers, which differ by user, out of every cache.
const private = "private, no-store"

// parts are what the endpoints are made of.
type parts struct {
	Site     site.Site
	Verifier *token.Verifier
	Catalog  catalog
	Orders   orderStore
	Now      func() time.Time
	Audit    audit.Recorder
	Log      *slog.Logger
}

// routes is the whole surface of the stocks API; openapi.json describes it.
func routes(p parts) *echo.Echo {
	metadata := p.Site.APIResource() + "/.well-known/oauth-protected-resource"
	guard := token.Guard{Verifier: p.Verifier, Scope: oauth.ScopeStocksRead, ResourceMetadata: metadata, Log: p.Log}
	authenticated := echo.WrapMiddleware(guard.Protect)
	policy := gate{ResourceMetadata: metadata, Now: p.Now, Audit: p.Audit, Log: p.Log}

	e := echo.New()
	e.HTTPErrorHandler = writeError(p.Log)
	e.GET("/healthz", healthz)
	e.GET("/openapi.json", openapi)
	e.GET("/stocks", (&listStocks{policy, p.Catalog}).serve, authenticated)
	e.GET("/stocks/:symbol", (&getStock{policy, p.Catalog}).serve, authenticated)
	e.GET("/stocks/:symbol/history", (&getHistory{policy, p.Catalog}).serve, authenticated)
	e.POST("/orders", (&placeOrder{policy, p.Catalog, p.Orders, p.Log}).serve, authenticated)
	e.GET("/orders", (&listOrders{policy, p.Orders}).serve, authenticated)
	e.GET("/orders/:id", (&getOrder{policy, p.Orders}).serve, authenticated)
	return e
}
