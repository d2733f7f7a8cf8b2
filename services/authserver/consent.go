package authserver

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
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
	ask, err := s.grants.NeedsConsent(c.Request().Context(), v.Request)
	if err != nil {
		return err
	}
	if !ask {
		return s.approve(c, v)
	}
	return s.page(c, http.StatusOK, "consent", v, map[string]any{"User": user, "As": s.formToken(v.Request.ID, user.ID), "Can": s.abilities(v, user)})
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
		return s.next(c, "/signin", v.Request.ID)
	}
	if !hmac.Equal([]byte(c.FormValue("as")), []byte(s.formToken(v.Request.ID, v.Request.UserID))) {
		return s.next(c, "/consent", v.Request.ID) // the page was shown to another user, in another tab
	}
	switch c.FormValue("decision") {
	case "allow":
		return s.approve(c, v)
	case "deny":
		refused := s.refuse(c, v.Request, oauth.AccessDenied("the user declined"))
		if _, told := errors.AsType[*grants.RedirectError](refused); told && v.Request.Device != "" {
			return s.deviceDone(c, false) // a device has no redirect URI; it polls
		}
		return refused
	}
	return pageError{Status: http.StatusBadRequest, Title: "No decision", Text: "Go back and choose whether to allow access or to decline."}
}

// approve sends the code to the client, with the issuer (RFC 9207).
func (s *server) approve(c echo.Context, v visit) error {
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
	sess, user, ok, err := s.login.Session(c.Request().Context(), cookie(c, sessionCookie))
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

// abilities says in plain words what the client will be able to do.
func (s *server) abilities(v visit, u store.User) []string {
	var can []string
	for scope := range strings.FieldsSeq(v.Request.Scope) {
		switch scope {
		case oauth.ScopeStocksRead:
			can = append(can, "Read the stock prices of your region, "+u.Region)
		case oauth.ScopeStocksTrade:
			can = append(can, "Trade stocks in your name")
		case oauth.ScopeOpenID:
			can = append(can, "Know that you are you when you come back")
		case oauth.ScopeEmail:
			can = append(can, "Know your email address, "+u.Email)
		}
	}
	if clients.AllowsGrant(v.Request.Client, "refresh_token") {
		can = append(can, "Keep this access for up to 30 days, also while you are away")
	}
	return can
}
