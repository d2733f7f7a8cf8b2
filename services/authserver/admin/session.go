package admin

import (
	"crypto/hmac"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// visitor is an administrator on a page.
type visitor struct {
	User   store.User
	cookie string
}

// page serves a handler to administrators. Who is one is looked up for every
// request: a session outlives neither the role nor the approval.
func (s *Server) page(handler func(echo.Context, visitor) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		v := visitor{cookie: cookies.Get(c, sessionCookie)}
		user, ok, err := s.Login.AdminSession(c.Request().Context(), v.cookie)
		switch {
		case err != nil:
			return err
		case !ok && c.Request().Method == http.MethodGet:
			return s.begin(c)
		case !ok:
			return problem{Status: http.StatusForbidden, Title: "You are signed out", Text: "Nothing was changed. Sign in and do it again."}
		case !login.IsAdmin(user):
			s.record(c, audit.Event{User: user.ID, Decision: audit.Refused, Reason: "not an administrator", Detail: map[string]string{"action": "open " + c.Path()}})
			return s.errForbidden()
		}
		v.User = user
		return handler(c, v)
	}
}

// errForbidden tells a user who is no administrator. Who they are, they know.
func (s *Server) errForbidden() error {
	return problem{Status: http.StatusForbidden, Title: "This is for administrators",
		Text: "The account that you are signed in with is not that of an administrator. To use another one, sign out of this one first.",
		Link: s.Site.Issuer() + "/signout", Where: "Sign out"}
}

// errForm is a form that was not made for this session, or for something else.
var errForm = problem{Status: http.StatusForbidden, Title: "This form is not from here",
	Text: "You signed in anew since the page was shown, or it was changed. Nothing was done: open the page again."}

// formToken ties a form to a session and to what it does.
func (s *Server) formToken(v visitor, what string) string { return s.keyed("form", v.cookie, what) }

// isForm reports whether a form was shown to this session, for this.
func (s *Server) isForm(c echo.Context, v visitor, what string) bool {
	return hmac.Equal([]byte(c.Request().PostFormValue("csrf")), []byte(s.formToken(v, what)))
}

// record notes in the audit trail what an administrator did, or tried to do.
func (s *Server) record(c echo.Context, e audit.Event) {
	e.Kind = audit.Administration
	s.Trail.Record(c.Request().Context(), e)
}
