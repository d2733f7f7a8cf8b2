package authserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
)

// authorize serves /authorize (RFC 6749 §4.1.1): it checks what a client asks
// for and shows the user the first page. It changes nothing that anybody else
// depends on, so a form on any site may lead here.
func (s *server) authorize(c echo.Context) error {
	params, err := authorizeParams(c)
	if err != nil {
		return err
	}
	if c.Request().Method == http.MethodPost && cookies.Get(c, browserCookie) == "" {
		// Browsers keep the cookie from forms of other sites, and send it
		// along when they follow this. A new one in its place would end the
		// sign-ins that are under way.
		s.send(c, "/authorize", params)
		return nil
	}
	browser := s.browser(c)
	request, err := s.grants.Authorize(c.Request().Context(), params, store.HashOf(browser))
	if err != nil {
		return err
	}
	if request.Silent {
		return s.silently(c, request)
	}
	return s.next(c, "/signin", request.ID)
}

// limitRequests keeps anybody from filling the store with authorization
// requests, or from having this server fetch documents all the time.
func (s *server) limitRequests(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		wait := s.requests.Take(limits.Network(c.RealIP()))
		switch {
		case wait == 0:
			return next(c)
		case isPage(c.Request()):
			return tooManyRequests(wait)
		}
		return &oauth.Error{Code: "slow_down", Status: http.StatusTooManyRequests, RetryAfter: wait, Description: "too many authorization requests; wait a minute"}
	}
}

// tooManyRequests tells a person about limitRequests.
func tooManyRequests(wait time.Duration) error {
	return pageError{Status: http.StatusTooManyRequests, Title: "Too many requests", RetryAfter: wait,
		Text: "Very many sign-ins were started from your network. Wait a minute, then start again."}
}

// authorizeParams reads the parameters from where the method puts them. Not
// from both: two readers could then see two different requests. A form may be no
// longer than an address, since the browser may be sent on to one.
func authorizeParams(c echo.Context) (url.Values, error) {
	r := c.Request()
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if raw != "" {
			return nil, grants.LocalError{Reason: "The parameters were sent in two places."}
		}
		if err := r.ParseForm(); err != nil {
			return nil, grants.LocalError{Reason: "The parameters cannot be read."}
		}
		raw = r.PostForm.Encode()
	}
	if !httpserver.QueryFits(raw) {
		return nil, grants.LocalError{Reason: "The application's request is too long."}
	}
	params, err := url.ParseQuery(raw)
	if err != nil {
		return nil, grants.LocalError{Reason: "The parameters cannot be read."}
	}
	return params, nil
}

// redirect sends the browser to a client's redirect URI. What the client put
// into its own query stays as it is, to the letter. Only URIs that were
// matched against the client's registered ones get here.
func (s *server) redirect(c echo.Context, uri, state string, pairs ...string) {
	answer := url.Values{"iss": {s.cfg.Issuer()}}
	if state != "" {
		answer.Set("state", state)
	}
	for i := 0; i < len(pairs); i += 2 {
		answer.Set(pairs[i], pairs[i+1])
	}
	s.send(c, uri, answer)
}

// send adds an answer to a URI that the client registered and sends the
// browser there.
func (s *server) send(c echo.Context, uri string, answer url.Values) {
	c.Response().Header().Set("Cache-Control", "no-store")
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	c.Response().Header().Set("Location", withAnswer(uri, answer))
	status := http.StatusFound
	if c.Request().Method == http.MethodPost {
		status = http.StatusSeeOther // never 307: it would send the form along (RFC 9700 §4.12)
	}
	c.Response().WriteHeader(status)
}

// withAnswer adds an answer to a URI. What is there already stays as it is.
func withAnswer(uri string, answer url.Values) string {
	switch {
	case len(answer) == 0:
		return uri
	case strings.Contains(uri, "?"):
		return uri + "&" + answer.Encode()
	}
	return uri + "?" + answer.Encode()
}

// next sends the browser to another page of the same request.
func (s *server) next(c echo.Context, path, requestID string) error {
	return c.Redirect(http.StatusSeeOther, fmt.Sprintf("%s?request=%s", path, url.QueryEscape(requestID)))
}
