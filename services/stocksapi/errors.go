package stocksapi

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/problem"
)

// writeError answers with the error of a handler, or of echo's router, as
// problem details. Errors that it does not know are logged and not shown.
func writeError(log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		w, r := c.Response(), c.Request()
		if w.Committed {
			return // too late to say anything else
		}
		var details *problem.Details
		var scope *insufficientScope
		var routing *echo.HTTPError
		switch {
		case errors.As(err, &details):
		case errors.As(err, &scope):
			w.Header().Set("WWW-Authenticate", scope.challenge.String())
			details = &problem.Details{
				Status: http.StatusForbidden,
				Title:  "Insufficient scope",
				Detail: "Ask the user for the scope " + scope.challenge.Scope + " and repeat the request with the new token.",
			}
		case errors.As(err, &routing) && routing.Code == http.StatusNotFound:
			details = notFound("There is nothing at this path. GET /stocks lists what there is.")
		case errors.As(err, &routing) && routing.Code == http.StatusMethodNotAllowed:
			w.Header().Set("Allow", http.MethodGet) // the one method of every route
			details = &problem.Details{Status: routing.Code, Title: "Method not allowed", Detail: "Use GET."}
		default:
			log.Error("request failed", "request_id", httpserver.RequestID(r.Context()), "error", err)
			details = &problem.Details{
				Status: http.StatusInternalServerError,
				Title:  "Internal error",
				Detail: "Something went wrong here. Try again, and quote the request id if it stays.",
			}
		}
		problem.Write(w, r, details)
	}
}

func notFound(detail string) *problem.Details {
	return &problem.Details{Status: http.StatusNotFound, Title: "Not found", Detail: detail}
}
