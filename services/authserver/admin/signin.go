package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// The session cookie tells who is signed in here, the other one which sign-in
// this browser has under way. The prefix has browsers refuse them from any
// other host and without TLS (RFC 6265bis §4.1.3.2).
const (
	sessionCookie = "__Host-admin"
	signInCookie  = "__Host-admin-signin"
)

// signInTime is how long a sign-in may take.
const signInTime = 15 * time.Minute

// A sign-in that is under way is kept in its browser's cookie: a random text,
// when it began, and the page to show after it. State, nonce and code verifier
// are keyed hashes of the whole cookie, each for its purpose. So nothing is
// stored for whoever merely knocks, and a cookie that was changed, or another
// browser's, has another state than the one that comes back.
type signIn struct {
	cookie string
	began  time.Time
	page   string // of this host
}

func (s *Server) newSignIn(page string) signIn {
	now := s.Now()
	return signIn{
		cookie: rand.Text() + "." + strconv.FormatInt(now.Unix(), 10) + "." + base64.RawURLEncoding.EncodeToString([]byte(page)),
		began:  now, page: page,
	}
}

func parseSignIn(cookie string) (signIn, bool) {
	parts := strings.Split(cookie, ".")
	if len(parts) != 3 || len(parts[0]) < 26 { // 128 bits
		return signIn{}, false
	}
	began, err1 := strconv.ParseInt(parts[1], 10, 64)
	page, err2 := base64.RawURLEncoding.DecodeString(parts[2])
	return signIn{cookie, time.Unix(began, 0), string(page)}, err1 == nil && err2 == nil
}

func (s *Server) state(in signIn) string    { return s.keyed("state", in.cookie) }
func (s *Server) nonce(in signIn) string    { return s.keyed("nonce", in.cookie) }
func (s *Server) verifier(in signIn) string { return s.keyed("verifier", in.cookie) }

// maxPage bounds the address that is gone back to, so that the cookie is small.
const maxPage = 1000

// begin sends a browser to the authorization server to sign in, and then back
// to the page that it asked for.
func (s *Server) begin(c echo.Context) error {
	page := c.Request().URL.RequestURI()
	if len(page) > maxPage {
		page = "/admin"
	}
	in := s.newSignIn(page)
	to, err := s.oidc.address(c.Request().Context(), s.state(in), s.nonce(in), s.verifier(in))
	if err != nil {
		return err
	}
	cookies.Set(c, signInCookie, in.cookie)
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	return c.Redirect(http.StatusSeeOther, to)
}

// errNotBegun is an answer that this browser did not ask for: whoever sent it
// here may want the user to act in an account that is not theirs (login CSRF,
// RFC 9700 §4.7).
var errNotBegun = problem{Status: http.StatusBadRequest, Title: "This sign-in was not begun here",
	Text: "It began in another browser, was finished already, or took longer than 15 minutes. Nobody was signed in."}

// callback serves GET /admin/callback: the answer of the authorization server
// (RFC 6749 §4.1.2). It is believed when it belongs to what this browser began
// (state), comes from our issuer (iss, RFC 9207), and when the ID token that
// the code gives is for this very sign-in (nonce).
func (s *Server) callback(c echo.Context) error {
	in, ok := parseSignIn(cookies.Get(c, signInCookie))
	answer, err := url.ParseQuery(c.Request().URL.RawQuery)
	for _, values := range answer {
		ok = ok && len(values) == 1
	}
	began := s.Now().Sub(in.began)
	if err != nil || !ok || !hmac.Equal([]byte(answer.Get("state")), []byte(s.state(in))) || answer.Get("iss") != s.Site.Issuer() ||
		began < -time.Second || began > signInTime {
		return errNotBegun
	}
	cookies.Set(c, signInCookie, "") // one try
	if answer.Get("code") == "" {
		return problem{Status: http.StatusForbidden, Title: "You are not signed in",
			Text: "The sign-in was declined or could not be finished. Nothing was changed.", Link: "/admin", Where: "Try again"}
	}
	ctx := c.Request().Context()
	sub, authTime, err := s.oidc.redeem(ctx, answer.Get("code"), s.nonce(in), s.verifier(in))
	if err != nil {
		s.Log.WarnContext(ctx, "sign-in to the administration failed", "error", err.Error())
		return problem{Status: http.StatusBadGateway, Title: "You are not signed in",
			Text: "The authorization server did not confirm who you are. Try again.", Link: "/admin", Where: "Try again"}
	}
	value, err := s.Login.SignInAdmin(ctx, sub, authTime)
	if errors.Is(err, store.ErrNotFound) {
		s.record(c, audit.Event{User: sub, Decision: audit.Refused, Reason: "not an administrator", Detail: map[string]string{"action": "sign in"}})
		return s.errForbidden()
	}
	if err != nil {
		return err
	}
	s.record(c, audit.Event{User: sub, Decision: audit.Allowed, Detail: map[string]string{"action": "sign in"}})
	cookies.Set(c, sessionCookie, value)
	return c.Redirect(http.StatusSeeOther, in.page)
}

// signOut serves POST /admin/signout. Who is signed out already, since they did
// nothing for long, has what they ask for.
func (s *Server) signOut(c echo.Context) error {
	v := visitor{cookie: cookies.Get(c, sessionCookie)}
	user, ok, err := s.Login.AdminSession(c.Request().Context(), v.cookie)
	if err != nil {
		return err
	}
	if ok {
		if !s.isForm(c, v, "sign out") {
			return errForm
		}
		if err := s.Login.SignOutAdmin(c.Request().Context(), v.cookie); err != nil {
			return err
		}
		s.record(c, audit.Event{User: user.ID, Decision: audit.Allowed, Detail: map[string]string{"action": "sign out"}})
	}
	cookies.Set(c, sessionCookie, "")
	return c.Redirect(http.StatusSeeOther, "/admin/signedout")
}

// signedOut serves GET /admin/signedout.
func (s *Server) signedOut(c echo.Context) error {
	return s.render(c, http.StatusOK, "signedout", visitor{}, map[string]any{"Login": s.Site.Issuer() + "/signout"})
}
