package authserver

import (
	"crypto/hmac"
	"net/http"

	"github.com/labstack/echo/v4"
)

// home serves GET /: it says what this is.
func (s *server) home(c echo.Context) error {
	return s.plain(c, "home", map[string]any{"Demo": s.cfg.Origin("")})
}

// signOutPage serves GET /signout: it asks, since a link must not sign
// anybody out.
func (s *server) signOutPage(c echo.Context) error {
	_, user, ok, err := s.login.Session(c.Request().Context(), cookie(c, sessionCookie))
	if err != nil {
		return err
	}
	return s.plain(c, "signout", map[string]any{"SignedIn": ok, "User": user, "CSRF": s.formToken(cookie(c, sessionCookie), "signout")})
}

// signOut serves POST /signout. Clients keep the access they were given.
func (s *server) signOut(c echo.Context) error {
	session := cookie(c, sessionCookie)
	if !hmac.Equal([]byte(c.FormValue("csrf")), []byte(s.formToken(session, "signout"))) {
		return pageError{Status: http.StatusForbidden, Title: "This form is not from here", Text: "Open the sign-out page again."}
	}
	if err := s.login.SignOut(c.Request().Context(), session); err != nil {
		return err
	}
	setCookie(c, sessionCookie, "")
	return c.Redirect(http.StatusSeeOther, "/signout")
}
