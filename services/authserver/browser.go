package authserver

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// The browser cookie tells browsers apart, so that what one began no other can
// finish. The session cookie tells who is signed in. The prefix has browsers
// refuse them from any other host and without TLS (RFC 6265bis §4.1.3.2).
const (
	browserCookie = "__Host-browser"
	sessionCookie = "__Host-session"
)

// browser returns the browser's cookie, and gives it one if it has none.
func (s *server) browser(c echo.Context) string {
	if value := cookies.Get(c, browserCookie); value != "" {
		return value
	}
	value := rand.Text()
	cookies.Set(c, browserCookie, value)
	return value
}

// visit is a page of an authorization request that is shown or sent.
type visit struct {
	Request store.Request
	CSRF    string
	browser store.Hash
}

// visit finds the request that a page belongs to, if this browser began it. A
// form must also carry the token that the page had.
func (s *server) visit(c echo.Context) (visit, error) {
	r := c.Request()
	cookie := cookies.Get(c, browserCookie)
	id := c.QueryParam("request")
	if r.Method == http.MethodPost {
		id = r.PostFormValue("request")
	}
	v := visit{CSRF: s.formToken(cookie, id), browser: store.HashOf(cookie)}
	if cookie == "" || id == "" {
		return v, errStale
	}
	if r.Method == http.MethodPost && !hmac.Equal([]byte(r.PostFormValue("csrf")), []byte(v.CSRF)) {
		return v, pageError{Status: http.StatusForbidden, Title: "This form is not from here",
			Text: "It does not belong to a page that was shown to you. Go back to your application and start again."}
	}
	var err error
	v.Request, err = s.db.Request(r.Context(), id, v.browser, s.now())
	if errors.Is(err, store.ErrNotFound) {
		return v, errStale
	}
	noteVisit(audit.On(r.Context()), v)
	return v, err
}

// formToken ties a form to the browser and the request it was made for.
func (s *server) formToken(cookie, requestID string) string {
	h := hmac.New(sha256.New, s.csrf)
	h.Write([]byte(cookie + "\x00" + requestID))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
