package authserver

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
)

// pageError is an error that a person reads: what happened and what to do.
type pageError struct {
	Status      int
	Title, Text string
	RetryAfter  time.Duration
}

func (e pageError) Error() string { return e.Title }

// errStale is a request that is not this browser's, or is over.
var errStale = pageError{Status: http.StatusBadRequest, Title: "This sign-in is over",
	Text: "It took longer than 15 minutes, was finished already, or began in another browser. Go back to your application and start again."}

// outage is anything that is not somebody's mistake.
var outage = pageError{Status: http.StatusServiceUnavailable, Title: "This is not working right now", RetryAfter: 5 * time.Second,
	Text: "Something behind this page cannot be reached. Nothing is lost: wait a few seconds and load the page again."}

// writeError is where every error of a handler ends: it is written once, in
// the form that the caller understands, and logged once.
func (s *server) writeError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	r := c.Request()
	var (
		redirect *grants.RedirectError
		local    grants.LocalError
		page     pageError
		oauthErr *oauth.Error
		bearer   challengeError
		echoErr  *echo.HTTPError
	)
	switch {
	case errors.As(err, &redirect):
		s.redirectError(c, redirect)
	case errors.As(err, &local):
		p := pageError{Status: http.StatusBadRequest, Title: "This link does not work",
			Text: local.Reason + " You were not sent anywhere, and nothing was shared. If you meant to connect an application, start again there."}
		if local.Suspended {
			p.Title, p.Text = "This application is suspended", local.Reason
		}
		s.errorPage(c, p)
	case errors.As(err, &page):
		s.errorPage(c, page)
	case errors.As(err, &oauthErr):
		oauthErr.Write(c.Response())
	case errors.As(err, &bearer):
		bearer.Write(c.Response())
	case errors.As(err, &echoErr):
		s.notServed(c, echoErr.Code)
	default:
		s.log.ErrorContext(r.Context(), "request failed", "request_id", httpserver.RequestID(r.Context()), "error", err.Error())
		if isPage(r) {
			s.errorPage(c, outage)
		} else {
			oauth.Unavailable().Write(c.Response())
		}
	}
}

// notServed answers what the router refuses: unknown paths and methods.
func (s *server) notServed(c echo.Context, status int) {
	switch {
	case status == http.StatusMethodNotAllowed:
		_ = c.JSON(status, map[string]string{"error": "invalid_request", "error_description": "use " + c.Response().Header().Get("Allow")})
	case isPage(c.Request()):
		s.errorPage(c, pageError{Status: status, Title: "There is no such page", Text: "Check the address, or go back to your application."})
	default:
		_ = c.JSON(status, map[string]string{"error": "invalid_request", "error_description": http.StatusText(status)})
	}
}

// isPage reports whether a person is likely to read the answer.
func isPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// redirectError tells a client at its redirect URI (RFC 6749 §4.1.2.1), with
// the issuer, so that it knows whose answer this is (RFC 9207).
func (s *server) redirectError(c echo.Context, e *grants.RedirectError) {
	s.redirect(c, e.RedirectURI, e.State, "error", e.Err.Code, "error_description", e.Err.Description)
}

func retryAfter(c echo.Context, d time.Duration) {
	if d > 0 {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(d.Seconds())))
	}
}
