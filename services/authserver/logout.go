package authserver

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// leaving is a request to end the session (OpenID Connect RP-Initiated Logout
// 1.0 §2) that was checked.
type leaving struct {
	ClientID, RedirectURI, State string // where to go afterwards, if anywhere
	UserID                       string // whom the client means, if it showed an ID token
	Reviewed                     bool   // the client is known here
}

// withoutHint is what counts without an ID token. Anybody can register an
// address and link here: then only reviewed clients take the user somewhere.
func (l leaving) withoutHint() leaving {
	l.UserID = ""
	if !l.Reviewed {
		l.RedirectURI, l.State = "", ""
	}
	return l
}

// logout serves GET and POST /logout. A client that shows an ID token of the
// user who is signed in here may end the session; for everybody else the user
// is asked, since a link must not sign anybody out.
func (s *server) logout(c echo.Context) error {
	ctx := c.Request().Context()
	params, err := authorizeParams(c)
	if err != nil {
		return err
	}
	l, err := s.leaving(c, params)
	if err != nil {
		return err
	}
	session := cookies.Get(c, sessionCookie)
	if c.Request().Method == http.MethodPost && session == "" {
		// Browsers keep the cookie from forms of other sites, and send it
		// along when they follow this. The hint stays out of the URL.
		undecided(c)
		s.send(c, "/logout", l.withoutHint().params())
		return nil
	}
	_, user, ok, err := s.login.Session(ctx, session)
	if err != nil {
		return err
	}
	if l.UserID == "" || ok && l.UserID != user.ID {
		undecided(c)
		return s.askSignOut(c, l)
	}
	return s.leave(c, session, l)
}

// leave ends the session and sends the browser on: by itself where a reviewed
// client wants it, or one that showed an ID token of the user who just signed
// out. An ID token of somebody else is no reason, since it may be the own one of
// whoever made the link.
func (s *server) leave(c echo.Context, session string, l leaving) error {
	sess, _, ok, err := s.login.Session(c.Request().Context(), session)
	if err != nil {
		return err
	}
	if e := audit.On(c.Request().Context()); sess.UserID != "" { // also of a session that is over: the administration's end with it
		e.User, e.Client = sess.UserID, l.ClientID
	} else {
		e.Kind = "" // nobody was signed in
	}
	if err := s.login.SignOut(c.Request().Context(), session); err != nil {
		return err
	}
	cookies.Set(c, sessionCookie, "")
	if l.RedirectURI == "" {
		return c.Redirect(http.StatusSeeOther, "/signout")
	}
	answer := url.Values{}
	if l.State != "" {
		answer.Set("state", l.State)
	}
	if !l.Reviewed && (!ok || sess.UserID != l.UserID) {
		return s.plain(c, "signout", map[string]any{
			"SignedIn": false, "Host": destination(l.RedirectURI),
			"Link": template.URL(withAnswer(l.RedirectURI, answer)), // registered, so no scheme that runs anything
		})
	}
	s.send(c, l.RedirectURI, answer)
	return nil
}

// leaving checks what a client asks for when the user leaves it. A redirect
// URI counts for the client that registered it alone; with no client named
// there is none.
func (s *server) leaving(c echo.Context, params url.Values) (leaving, error) {
	for _, values := range params {
		if len(values) > 1 {
			return leaving{}, grants.ErrRepeated
		}
	}
	l := leaving{ClientID: params.Get("client_id"), RedirectURI: params.Get("post_logout_redirect_uri"), State: params.Get("state")}
	// A hint that cannot be read is like none: the user is asked.
	if hint, err := s.grants.ReadHint(params.Get("id_token_hint")); err == nil {
		if l.ClientID != "" && l.ClientID != hint.ClientID {
			return leaving{}, grants.LocalError{Reason: "The application named itself differently in two places."}
		}
		l.ClientID, l.UserID = hint.ClientID, hint.UserID
	}
	if l.RedirectURI == "" {
		return l, nil
	}
	client, err := s.clients.Find(c.Request().Context(), l.ClientID)
	if errors.Is(err, clients.ErrUnknown) || err == nil && !clients.IsLogoutRedirect(client, l.RedirectURI) {
		return leaving{}, grants.LocalError{Reason: "The application asked to send you to an address that it did not register for signing out."}
	}
	l.Reviewed = client.Registration == store.RegisteredByReview
	if l.UserID == "" {
		l = l.withoutHint()
	}
	return l, err
}

// params are the checked parameters, without the hint.
func (l leaving) params() url.Values {
	out := url.Values{}
	for name, value := range map[string]string{"client_id": l.ClientID, "post_logout_redirect_uri": l.RedirectURI, "state": l.State} {
		if value != "" {
			out.Set(name, value)
		}
	}
	return out
}
