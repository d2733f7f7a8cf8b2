package authserver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/login"
)

// passcodePage serves GET /passcode.
func (s *server) passcodePage(c echo.Context) error {
	v, err := s.visit(c)
	if err != nil {
		return err
	}
	return s.askPasscode(c, v, http.StatusOK, "")
}

// passcode serves POST /passcode. The right passcode signs the user in.
func (s *server) passcode(c echo.Context) error {
	v, err := s.visit(c)
	if err != nil {
		return err
	}
	session, err := s.login.Check(c.Request().Context(), v.Request.ID, c.FormValue("passcode"))
	switch {
	case errors.Is(err, login.ErrWrong):
		refused(c, "wrong passcode")
		return s.askPasscode(c, v, http.StatusBadRequest, "That is not the passcode we sent.")
	case errors.Is(err, login.ErrNoPasscode):
		refused(c, "no passcode can be right any more")
		return s.askPasscode(c, v, http.StatusBadRequest, "")
	case errors.Is(err, login.ErrNotApproved):
		return pageError{Status: http.StatusForbidden, Title: "You may not sign in", Text: "An administrator has to approve you first."}
	case err != nil:
		return err
	}
	if err := s.login.Replace(c.Request().Context(), cookies.Get(c, sessionCookie)); err != nil {
		return err
	}
	if err := s.login.NameSession(c.Request().Context(), session, c.RealIP(), c.Request().UserAgent()); err != nil {
		return err
	}
	cookies.Set(c, sessionCookie, session)
	return s.next(c, "/consent", v.Request.ID)
}

// askPasscode shows the form, or what to do where no passcode can be right.
func (s *server) askPasscode(c echo.Context, v visit, status int, problem string) error {
	sent, err := s.login.Sent(c.Request().Context(), v.Request.ID)
	if errors.Is(err, login.ErrNoPasscode) {
		return s.next(c, "/signin", v.Request.ID)
	}
	if err != nil {
		return err
	}
	switch {
	case sent.TriesLeft <= 0:
		problem = "This passcode cannot be used any more: it expired, or it was tried too often. Ask for a new one below."
	case problem != "":
		problem += fmt.Sprintf(" Tries left: %d.", sent.TriesLeft)
	}
	return s.page(c, status, "passcode", v, map[string]any{
		"Problem": problem, "Email": maskedAddress(sent.Email), "Dead": sent.TriesLeft <= 0,
		"Wait": waitClass(s.resendWait(sent)),
	})
}

// maskedAddress is an address that its owner knows again, and that who looks
// over their shoulder does not learn.
func maskedAddress(email string) string {
	at := strings.LastIndex(email, "@")
	_, size := utf8.DecodeRuneInString(email)
	if at < size {
		return "•••"
	}
	return email[:size] + "•••" + email[at:]
}

// waitClass names the style of a countdown that has at most so long to go: the
// style sheet has one for each five seconds, since no page may bring its own.
func waitClass(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf("wait%d", (int(d.Seconds())/5+1)*5)
}
