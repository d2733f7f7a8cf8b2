// Package cookies sets and reads the cookies of both hosts of the authorization
// server, all of them with the prefix __Host-, which has browsers refuse them
// from any other host and without TLS (RFC 6265bis §4.1.3.2).
package cookies

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Set gives the browser a cookie until it is closed, or takes it away when
// value is empty.
func Set(c echo.Context, name, value string) {
	cookie := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		cookie.MaxAge = -1
	}
	c.SetCookie(cookie)
}

// Get returns a cookie's value, empty when there is none.
func Get(c echo.Context, name string) string {
	cookie, err := c.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}
