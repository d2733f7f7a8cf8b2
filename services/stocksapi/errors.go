package stocksapi

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

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
		var step *stepUp
		var outage *storeOutage
		var routing *echo.HTTPError
		switch {
		case errors.As(err, &details):
		case errors.As(err, &step):
			w.Header().Set("WWW-Authenticate", step.challenge.String())
			details = &step.details
		case errors.As(err, &outage):
			log.Error("orders cannot be kept or read", "request_id", httpserver.RequestID(r.Context()), "error", err)
			details = problem.Unavailable("The list of orders")
		case errors.As(err, &routing) && routing.Code == http.StatusNotFound:
			details = notFound("There is nothing at this path. GET /stocks lists what there is.")
		case errors.As(err, &routing) && routing.Code == http.StatusMethodNotAllowed:
			routed, _ := c.Get(echo.ContextKeyHeaderAllow).(string)
			allow := strings.TrimPrefix(routed, http.MethodOptions+", ") // which echo adds, and the gateway answers
			w.Header().Set("Allow", allow)
			details = &problem.Details{Status: routing.Code, Title: "Method not allowed", Detail: "Use " + allow + "."}
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

// storeOutage is an error of the store: an outage (503), which must not look
// like anything else.
type storeOutage struct{ cause error }

func (e *storeOutage) Error() string { return e.cause.Error() }

// unlessProblem turns what came out of the store into an outage, unless it is
// an answer already.
func unlessProblem(err error) error {
	var details *problem.Details
	if errors.As(err, &details) {
		return err
	}
	return &storeOutage{err}
}
