package stocksapi

import (
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/oauth"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
)

// private keeps answers, which differ by user, out of every cache.
const private = "private, no-store"

// routes is the whole surface of the stocks API.
func routes(s site.Site, verifier *token.Verifier, stocks catalog, log *slog.Logger) http.Handler {
	metadata := s.APIResource() + "/.well-known/oauth-protected-resource"
	guard := token.Guard{Verifier: verifier, Scope: oauth.ScopeStocksRead, ResourceMetadata: metadata, Log: log}
	authenticated := echo.WrapMiddleware(guard.Protect)
	read := gate{ResourceMetadata: metadata, Log: log}

	e := echo.New()
	e.HTTPErrorHandler = writeError(log)
	e.GET("/healthz", healthz)
	e.GET("/stocks", (&listStocks{read, stocks}).serve, authenticated)
	e.GET("/stocks/:symbol", (&getStock{read, stocks}).serve, authenticated)
	return e
}
