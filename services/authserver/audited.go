package authserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
)

// refusals is for endpoints whose requests are no events of their own: clients
// that do not prove who they are count there as everywhere.
const refusals audit.Kind = ""

// audited records each request to an endpoint as one event. What it is about
// the use cases note on the way (audit.On); how it ended is told by the answer.
func (s *server) audited(kind audit.Kind) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if c.Request().Method == http.MethodOptions {
				return next(c)
			}
			ctx, e := audit.Begin(c.Request().Context(), kind)
			c.SetRequest(c.Request().WithContext(ctx))
			err := next(c)
			ended(e, c.Response().Status, err)
			switch {
			case e.Kind == "": // of no interest
			case e.Kind == audit.Authorization && e.Decision == audit.Allowed && e.Grant == "":
				// Only the first page was shown: what comes of it follows.
			default:
				s.trail.Record(ctx, *e)
			}
			return err
		}
	}
}

// undecided notes that a form decided nothing: its sender was sent on, to sign
// in or to look again. An event would say that it was allowed.
func undecided(c echo.Context) { audit.On(c.Request().Context()).Kind = "" }

// refused notes why nothing came of a form whose answer does not say so.
func refused(c echo.Context, reason string) {
	e := audit.On(c.Request().Context())
	e.Decision, e.Reason = audit.Refused, reason
}

// ended notes how a request ended, where the use case did not.
func ended(e *audit.Event, status int, err error) {
	var (
		redirect *grants.RedirectError
		refused  *oauth.Error
		page     pageError
		local    grants.LocalError
		bearer   challengeError
		served   *echo.HTTPError
	)
	switch {
	case err == nil:
	case errors.As(err, &redirect):
		status, refused = http.StatusBadRequest, redirect.Err
	case errors.As(err, &refused):
		status = refused.Status
	case errors.As(err, &page):
		status, e.Reason = page.Status, page.Title
	case errors.As(err, &local):
		status, e.Reason = http.StatusBadRequest, local.Reason
	case errors.As(err, &bearer):
		status, e.Reason = http.StatusUnauthorized, bearer.Challenge.Error
	case errors.As(err, &served):
		status = served.Code
	default:
		status, e.Reason = http.StatusServiceUnavailable, "outage"
	}
	if refused != nil {
		e.Reason = refused.Error()
	}
	switch {
	case e.Decision != "":
	case status >= 500:
		e.Decision = audit.Failed
	case status >= 400:
		e.Decision = audit.Refused
	default:
		e.Decision = audit.Allowed
	}
}

// noteVisit notes which authorization request a page belongs to. Its id is no
// secret without the browser's cookie, and nobody else's business all the same.
func noteVisit(e *audit.Event, v visit) {
	sum := sha256.Sum256([]byte(v.Request.ID))
	e.Flow = hex.EncodeToString(sum[:8])
	e.Client, e.User, e.Audience, e.Scope = v.Request.ClientID, v.Request.UserID, v.Request.Resource, v.Request.Scope
}
