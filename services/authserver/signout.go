package authserver

import (
	"crypto/hmac"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
)

// home serves GET /: it says what this is.
func (s *server) home(c echo.Context) error {
	return s.plain(c, "home", map[string]any{"Demo": s.cfg.Origin("")})
}

// signOutPage serves GET /signout: it asks, since a link must not sign
// anybody out. A session that was not used for long is over, and its user may
// have worked in the administration all the while: they can leave that too.
func (s *server) signOutPage(c echo.Context) error {
	session := cookies.Get(c, sessionCookie)
	sess, _, ok, err := s.login.Session(c.Request().Context(), session)
	if err != nil {
		return err
	}
	if !ok && sess.UserID != "" {
		administering, err := s.login.AdminSessions(c.Request().Context(), sess.UserID, 1)
		if err != nil {
			return err
		}
		if len(administering) > 0 {
			return s.plain(c, "signout", map[string]any{"Administering": true, "CSRF": s.formToken(session, "signout"), "Leaving": leaving{}})
		}
	}
	return s.askSignOut(c, leaving{})
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
