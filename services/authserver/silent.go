package authserver

import (
	"errors"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// silently answers a request with prompt=none (OpenID Connect Core §3.1.2.1):
// with a code where the user is signed in and allowed this before, and else
// with what a person would have to do. No page is shown.
func (s *server) silently(c echo.Context, r store.Request) error {
	ctx := c.Request().Context()
	sess, _, ok, err := s.login.Session(ctx, cookies.Get(c, sessionCookie))
	if err != nil {
		return err
	}
	if !ok || !s.continues(r, sess) {
		return s.refuse(c, r, grants.LoginRequired)
	}
	r.UserID = sess.UserID
	ask, err := s.grants.NeedsConsent(ctx, r)
	if err != nil {
		return err
	}
	if ask {
		return s.refuse(c, r, grants.ConsentRequired)
	}
	if err := s.login.Continue(ctx, r.ID, sess); err != nil {
		return err
	}
	return s.approve(c, visit{Request: r, browser: r.Browser})
}

// continues reports whether a session is good enough for a request: recent,
// and of the user whom the client means.
func (s *server) continues(r store.Request, sess store.Session) bool {
	return !s.grants.NeedsSignIn(r, sess.AuthTime) && grants.IsHinted(r, sess.UserID)
}

// refuse ends a request and returns the error that tells its client why.
func (s *server) refuse(c echo.Context, r store.Request, why *oauth.Error) error {
	refused, err := s.grants.Refuse(c.Request().Context(), r.ID, r.Browser, why)
	if errors.Is(err, store.ErrNotFound) {
		return errStale
	}
	if err != nil {
		return err
	}
	return refused
}
