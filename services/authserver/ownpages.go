package authserver

import (
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/store"
)

// The account and the approval of orders are pages of this server itself: no
// client sends the user there, and none gets an answer. Whoever is not signed in
// goes through the same sign-in pages as everybody, with an authorization request
// that has a page in the place of a client, and which no code can come of.

// visitor is a user who is signed in, on a page of this server.
type visitor struct {
	Session store.Session
	User    store.User
	CSRF    string
}

// visitor returns who is signed in. ok is false when nobody is.
func (s *server) visitor(c echo.Context) (v visitor, ok bool, err error) {
	session := cookies.Get(c, sessionCookie)
	v.Session, v.User, ok, err = s.login.Session(c.Request().Context(), session)
	v.CSRF = s.formToken(session, c.Path())
	return v, ok, err
}

// poster returns who sent a form of one of this server's own pages. A form that
// belongs to another session is refused, and so is one of nobody.
func (s *server) poster(c echo.Context) (visitor, error) {
	v, ok, err := s.visitor(c)
	if err != nil {
		return v, err
	}
	if !ok || !hmac.Equal([]byte(c.FormValue("csrf")), []byte(v.CSRF)) {
		return v, pageError{Status: http.StatusForbidden, Title: "This form is not from here",
			Text: "You were signed out, or signed in anew, since the page was shown. Nothing was changed: open the page again."}
	}
	return v, nil
}

// signInFirst sends a browser through the sign-in pages and then back to a page
// of this server. maxAge is how long ago the user may have signed in; negative
// means any time.
func (s *server) signInFirst(c echo.Context, page string, maxAge time.Duration) error {
	if wait := s.requests.Take(limits.Network(c.RealIP())); wait > 0 {
		return tooManyRequests(wait)
	}
	r := store.Request{
		ID: rand.Text(), Browser: store.HashOf(s.browser(c)), Page: page, MaxAge: maxAge, ExpiresAt: s.now().Add(grants.RequestLifetime),
	}
	if err := s.db.AddRequest(c.Request().Context(), r); err != nil {
		return fmt.Errorf("store sign-in: %w", err)
	}
	return s.next(c, "/signin", r.ID)
}

// arrive ends the sign-in for a page of this server and shows that page.
func (s *server) arrive(c echo.Context, v visit) error {
	r, err := s.db.TakeRequest(c.Request().Context(), v.Request.ID, v.browser, s.now())
	if errors.Is(err, store.ErrNotFound) {
		return errStale
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, r.Page)
}

// purpose says, on the sign-in pages, what the user signs in for.
func purpose(page string) string {
	u, err := url.Parse(page)
	if err == nil && u.Path == "/approve" {
		return "You sign in to decide about an order. Nobody else gets an answer, and nothing is bought or sold by signing in."
	}
	return "You sign in to see your account: who has access in your name, and how to take it back. Nobody else gets an answer."
}
