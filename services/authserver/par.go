package authserver

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/internal/oauth"
)

// pushed is the answer of the pushed authorization request endpoint.
type pushed struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int    `json:"expires_in"` // seconds
}

// push serves POST /par (RFC 9126): a client sends its authorization request
// itself, so that it travels neither through the browser's address bar nor
// through its history, and learns of mistakes before a person does.
func (s *server) push(c echo.Context) error {
	r := c.Request()
	uri, err := s.grants.Push(r.Context(), clientOf(r.Context()), r.PostForm)
	var e *oauth.Error
	if errors.As(err, &e) {
		// The errors of the authorization endpoint (RFC 9126 §2.3), which are
		// sent by redirect there and have no status of their own.
		refused := *e
		refused.Status = http.StatusBadRequest
		return &refused
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, pushed{uri, int(grants.PushedLifetime.Seconds())})
}

// pusher authenticates the client as the token endpoint does. A client that
// is described by a document may begin here, so it is looked up as at the
// authorization endpoint, where the token endpoint would not know it yet.
func (s *server) pusher(next echo.HandlerFunc) echo.HandlerFunc {
	authenticated := s.authenticated(next)
	return func(c echo.Context) error {
		r := c.Request()
		cred, err := clients.ReadCredentials(r.Header, r.PostForm)
		if err != nil || cred.Method != clients.AuthNone || !strings.HasPrefix(cred.ID, "https://") {
			return authenticated(c)
		}
		client, err := s.clients.Resolve(r.Context(), cred.ID)
		if errors.Is(err, clients.ErrUnknown) || err == nil && client.AuthMethod != clients.AuthNone {
			return oauth.InvalidClient()
		}
		if err != nil {
			return err
		}
		c.SetRequest(r.WithContext(context.WithValue(r.Context(), clientKey{}, client)))
		return next(c)
	}
}
