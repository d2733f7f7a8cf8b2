package admin

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/httpserver"
)

// maxBody bounds what anybody may send, in bytes: no form here is large.
const maxBody = 16 << 10

// routes is all that there is on the host of the administration.
func (s *Server) routes() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.writeError
	e.Use(s.guard)

	// Signing in and out. Nobody has to be signed in for these.
	e.GET("/admin/callback", s.callback)
	e.POST("/admin/signout", s.signOut)
	e.GET("/admin/signedout", s.signedOut)
	e.GET("/static/*", echo.WrapHandler(s.Static))

	// Pages, which change nothing.
	e.GET("/admin", s.page(s.overview))
	e.GET("/admin/users", s.page(s.users))
	e.GET("/admin/clients", s.page(s.clients))
	e.GET("/admin/grants", s.page(s.grants))
	e.GET("/admin/grants/grant", s.page(s.grant))
	e.GET("/admin/keys", s.page(s.keys))
	e.GET("/admin/limits", s.page(s.limits))
	e.GET("/admin/policy", s.page(s.policy))
	e.GET("/admin/audit", s.page(s.audit))
	e.GET("/admin/audit/story", s.page(s.story))

	// Changes: GET shows what would happen, POST does it.
	for path, read := range map[string]reader{
		"/admin/users/change":   s.changeUser,
		"/admin/clients/change": s.changeClient,
		"/admin/grants/change":  s.changeGrant,
		"/admin/keys/change":    s.changeKey,
	} {
		e.GET(path, s.page(s.confirm(read)))
		e.POST(path, s.page(s.perform(read)))
	}
	return e
}

// guard is what every request passes: bounded, kept out of caches, and refused
// when a form of another site sends it (OWASP ASVS 5.0 V3.5).
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(s.Site.Origin("admin")); err != nil {
		panic(err) // the site was validated
	}
	return func(c echo.Context) error {
		r := c.Request()
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxBody)
		c.Response().Header().Set("Cache-Control", "no-store") // but for the style sheet, which says otherwise
		if err := protection.Check(r); err != nil {
			return problem{Status: http.StatusForbidden, Title: "This form came from somewhere else",
				Text: "It was not sent by a page of the administration. Nothing was changed."}
		}
		return next(c)
	}
}

// problem is an error that a person reads: what happened and what to do.
type problem struct {
	Status      int
	Title, Text string
	RetryAfter  time.Duration
	Link, Where string // where to go on; empty for the overview
}

func (p problem) Error() string { return p.Title }

// outage is anything that is not somebody's mistake.
var outage = problem{Status: http.StatusServiceUnavailable, Title: "This is not working right now", RetryAfter: 5 * time.Second,
	Text: "Something behind this page cannot be reached. Wait a few seconds and load the page again."}

// writeError is where every error of a handler ends: written once, and logged
// once where it is ours.
func (s *Server) writeError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	ctx := c.Request().Context()
	var p problem
	var echoErr *echo.HTTPError
	switch {
	case errors.As(err, &p):
	case errors.As(err, &echoErr):
		p = problem{Status: echoErr.Code, Title: "There is no such page", Text: "Check the address."}
	case errors.Is(err, store.ErrNotFound), errors.Is(err, clients.ErrUnknown):
		p = problem{Status: http.StatusNotFound, Title: "It is gone", Text: "What the address names does not exist, or not any more."}
	default:
		s.Log.ErrorContext(ctx, "administration failed", "request_id", httpserver.RequestID(ctx), "error", err.Error())
		p = outage
	}
	if p.RetryAfter > 0 {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(p.RetryAfter.Seconds())))
	}
	if p.Link == "" {
		p.Link, p.Where = "/admin", "To the administration"
	}
	if err := s.render(c, p.Status, "error", visitor{}, map[string]any{"Problem": p, "RequestID": httpserver.RequestID(ctx)}); err != nil {
		s.Log.ErrorContext(ctx, "error page", "error", err.Error())
	}
}
