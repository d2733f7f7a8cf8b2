package authserver

import (
	"crypto/hmac"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/store"
)

// home serves GET /: it says what this is.
func (s *server) home(c echo.Context) error {
	return s.plain(c, "home", map[string]any{"Demo": s.cfg.Origin("")})
}

// signOutPage serves GET /signout.
func (s *server) signOutPage(c echo.Context) error { return s.askSignOut(c, leaving{}) }

// askSignOut shows the page that asks, since a link must not sign anybody out.
// A session that was not used for long is over, and its user may have worked in
// the administration all the while: they can leave that too. What a client
// wants afterwards rides along, and is checked again when the answer comes. Its
// ID token does not.
func (s *server) askSignOut(c echo.Context, l leaving) error {
	l = l.withoutHint()
	ctx, session := c.Request().Context(), cookies.Get(c, sessionCookie)
	sess, user, ok, err := s.login.Session(ctx, session)
	if err != nil {
		return err
	}
	var administering []store.Session
	if !ok && sess.UserID != "" {
		if administering, err = s.login.AdminSessions(ctx, sess.UserID, 1); err != nil {
			return err
		}
	}
	target := ""
	if l.RedirectURI != "" {
		target = formTarget(l.RedirectURI)
	}
	return s.render(c, http.StatusOK, "signout", target, map[string]any{
		"SignedIn": ok, "Administering": len(administering) > 0, "User": user, "CSRF": s.formToken(session, "signout"), "Leaving": l,
	})
}

// signOut serves POST /signout. Clients keep the access they were given.
func (s *server) signOut(c echo.Context) error {
	session := cookies.Get(c, sessionCookie)
	if !hmac.Equal([]byte(c.FormValue("csrf")), []byte(s.formToken(session, "signout"))) {
		return pageError{Status: http.StatusForbidden, Title: "This form is not from here", Text: "Open the sign-out page again."}
	}
	l, err := s.leaving(c, c.Request().PostForm)
	if err != nil {
		return err
	}
	return s.leave(c, session, l)
}
