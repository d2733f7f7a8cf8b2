package authserver

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/login"
)

// signInPage serves GET /signin. A browser that is signed in already is asked
// for consent right away.
func (s *server) signInPage(c echo.Context) error {
	v, err := s.visit(c)
	if err != nil {
		return err
	}
	sess, user, ok, err := s.login.Session(c.Request().Context(), cookies.Get(c, sessionCookie))
	if err != nil {
		return err
	}
	if ok && s.continues(v.Request, sess) {
		if err := s.login.Continue(c.Request().Context(), v.Request.ID, sess); err != nil {
			return err
		}
		return s.next(c, "/consent", v.Request.ID)
	}
	data := map[string]any{}
	if ok {
		data["Again"] = user.Email // who wonders why they are asked
	}
	return s.page(c, http.StatusOK, "signin", v, data)
}

// signIn serves POST /signin: it mails a passcode to an approved user, and
// goes on to the next page whoever asked.
func (s *server) signIn(c echo.Context) error {
	v, err := s.visit(c)
	if err != nil {
		return err
	}
	email := c.FormValue("email")
	if c.FormValue("again") != "" { // the passcode page knows the address by halves alone
		wait, to, err := s.resend(c, v)
		if err != nil {
			return err
		}
		if wait > 0 || to == "" {
			undecided(c)
			return s.next(c, "/passcode", v.Request.ID)
		}
		email = to
	}
	err = s.login.Send(c.Request().Context(), v.Request.ID, email, c.RealIP(),
		login.Message{ClientName: v.Request.Client.Name, Own: v.Request.Page != "", Site: s.cfg.Issuer(), IP: c.RealIP(), UserAgent: c.Request().UserAgent()})
	switch {
	case errors.Is(err, login.ErrBadAddress):
		return s.page(c, http.StatusBadRequest, "signin", v, map[string]any{
			"Problem": "That is not an email address. Check it and try again.", "Email": email})
	case errors.Is(err, login.ErrTooMany):
		return pageError{Status: http.StatusTooManyRequests, Title: "Too many passcodes", RetryAfter: 10 * time.Minute,
			Text: "Very many passcodes were asked for from your network. Wait ten minutes, then go back and try again."}
	case errors.Is(err, login.ErrMailDown):
		s.log.ErrorContext(c.Request().Context(), "mail server is out of reach", "error", err.Error())
		return pageError{Status: http.StatusServiceUnavailable, Title: "No mail can be sent right now", RetryAfter: 10 * time.Second,
			Text: "The mail server cannot be reached, so no passcode was sent. Nothing is lost: go back in a minute and try again."}
	case err != nil:
		return err
	}
	return s.next(c, "/passcode", v.Request.ID)
}

// resend returns the address that the last passcode of a request went to, and
// how long to wait until another may be asked for: mail takes its time, and a
// new passcode ends the one that is on its way.
func (s *server) resend(c echo.Context, v visit) (wait time.Duration, to string, err error) {
	sent, err := s.login.Sent(c.Request().Context(), v.Request.ID)
	if errors.Is(err, login.ErrNoPasscode) {
		return 0, "", nil
	}
	return s.resendWait(sent), sent.Email, err
}

// resendAfter is how long a passcode is given to arrive.
const resendAfter = 30 * time.Second

func (s *server) resendWait(sent login.Passcode) time.Duration {
	if sent.TriesLeft <= 0 {
		return 0 // there is nothing left to wait for
	}
	return max(0, sent.SentAt.Add(resendAfter).Sub(s.now()))
}
