package authserver

import (
	"crypto/hmac"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
)

// consentPage serves GET /consent: the user sees who asks for what.
func (s *server) consentPage(c echo.Context) error {
	v, err := s.visit(c)
	if err != nil {
		return err
	}
	user, ok, err := s.signedIn(c, v)
	if err != nil {
		return err
	}
	if !ok {
		return s.next(c, "/signin", v.Request.ID)
	}
	if v.Request.Page != "" {
		return s.arrive(c, v)
	}
	ask, err := s.grants.NeedsConsent(c.Request().Context(), v.Request)
	if err != nil {
		return err
	}
	if !ask {
		return s.approve(c, v)
	}
	return s.page(c, http.StatusOK, "consent", v, map[string]any{
		"User": user, "As": s.formToken(v.Request.ID, user.ID),
		"Stocks": v.Request.Resource != s.cfg.Issuer(),
	})
}

// consent serves POST /consent: the user's decision goes to the client.
func (s *server) consent(c echo.Context) error {
	v, err := s.visit(c)
	if err != nil {
		return err
	}
	_, ok, err := s.signedIn(c, v)
	if err != nil {
		return err
	}
	if !ok {
		undecided(c)
		return s.next(c, "/signin", v.Request.ID)
	}
	if v.Request.Page != "" {
		undecided(c)
		return s.arrive(c, v) // nobody asks for anything
	}
	if !hmac.Equal([]byte(c.FormValue("as")), []byte(s.formToken(v.Request.ID, v.Request.UserID))) {
		undecided(c)
		return s.next(c, "/consent", v.Request.ID) // the page was shown to another user, in another tab
	}
	switch c.FormValue("decision") {
	case "allow":
		return s.approve(c, v)
	case "deny":
		declined := s.refuse(c, v.Request, oauth.AccessDenied("the user declined"))
		if _, told := errors.AsType[*grants.RedirectError](declined); told && v.Request.Device != "" {
			refused(c, "the user declined")
			return s.deviceDone(c, false) // a device has no redirect URI; it polls
		}
		return declined
	}
	return pageError{Status: http.StatusBadRequest, Title: "No decision", Text: "Go back and choose whether to allow access or to decline."}
}

// calledItself is the detail of a consent that says which name the user saw.
const calledItself = "called itself"

// approve sends the code to the client, with the issuer (RFC 9207).
func (s *server) approve(c echo.Context, v visit) error {
	audit.On(c.Request().Context()).Detail = map[string]string{calledItself: v.Request.Client.Name}
	request, code, err := s.grants.Approve(c.Request().Context(), v.Request.ID, v.browser)
	if errors.Is(err, store.ErrNotFound) {
		return errStale
	}
	if err != nil {
		return err
	}
	if request.Device != "" {
		return s.deviceDone(c, true)
	}
	s.redirect(c, request.RedirectURI, request.State, "code", code)
	return nil
}

// signedIn returns who signed in for this request, if they still are the one
// that this browser is signed in as, and still may.
func (s *server) signedIn(c echo.Context, v visit) (store.User, bool, error) {
	sess, user, ok, err := s.login.Session(c.Request().Context(), cookies.Get(c, sessionCookie))
	if err != nil || !ok || v.Request.UserID != sess.UserID {
		return store.User{}, false, err
	}
	if !grants.IsHinted(v.Request, user.ID) {
		// The client means another user: this one's access is not what it
		// asks for (OpenID Connect Core §3.1.2.1, id_token_hint).
		return store.User{}, false, s.refuse(c, v.Request, grants.LoginRequired)
	}
	if s.grants.IsStale(v.Request) {
		return store.User{}, false, nil // the page was open for too long: sign in again
	}
	return user, true, nil
}
