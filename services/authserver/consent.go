package authserver

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/cookies"
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
		"Can": abilities(v.Request.Client, v.Request.Scope, user), "HowLong": howLong(v.Request.Client, s.now()), "Issuer": s.cfg.Issuer(),
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

// abilities says in plain words what a scope lets a client do. What the stocks
// service makes of how far a client is known is part of it.
func abilities(c store.Client, scope string, u store.User) []string {
	agent, unverified := c.Type == clients.TypeMCP, c.Assurance <= clients.AssuranceNone
	since := "since nobody verified it"
	if c.Registration == store.RegisteredByReview {
		since = "since it cannot show that it is itself"
	}
	var can []string
	for value := range strings.FieldsSeq(scope) {
		switch {
		case value == oauth.ScopeStocksRead && agent && unverified:
			can = append(can, "Read the stock prices of your region, "+u.Region+", as they were 15 minutes before, "+since)
		case value == oauth.ScopeStocksRead:
			can = append(can, "Read the stock prices of your region, "+u.Region)
		case value == oauth.ScopeStocksTrade && agent && unverified:
			can = append(can, "Prepare orders to buy and sell stocks in your name. The stocks service will refuse them, "+since)
		case value == oauth.ScopeStocksTrade && agent:
			can = append(can, "Prepare orders to buy and sell stocks in your name. You are asked about each one, on a page like this")
		case value == oauth.ScopeStocksTrade:
			can = append(can, "Buy and sell stocks in your name")
		case value == oauth.ScopeOpenID:
			can = append(can, "Know that you are you when you come back")
		case value == oauth.ScopeEmail:
			can = append(can, "Know your email address, "+u.Email)
		}
	}
	return can
}

// howLong says in plain words how long a client keeps what it is given.
func howLong(c store.Client, now time.Time) string {
	if clients.AllowsGrant(c, "refresh_token") {
		return "Until " + now.Add(grants.GrantLifetime).UTC().Format("2 January 2006") + " (30 days) at the latest, also while you are away. It ends earlier when it is not used for a week."
	}
	return "For 15 minutes, until " + now.Add(grants.AccessLifetime).UTC().Format("15:04 MST") + "."
}
