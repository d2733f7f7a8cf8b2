package authserver

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/rs/cors"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
)

// A client that registered itself looks after its registration at the address
// that it was told, with the token that it was given there (RFC 7592).

// readRegistration serves GET /register/:client_id (§2.1). The secret is not
// in the answer: only its hash is known here.
func (s *server) readRegistration(c echo.Context) error {
	client, token, err := s.ownRegistration(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.registrationOf(clients.Registered{Client: client, Token: token}))
}

// updateRegistration serves PUT /register/:client_id (§2.2).
func (s *server) updateRegistration(c echo.Context) error {
	client, token, err := s.ownRegistration(c)
	if err != nil {
		return err
	}
	// Each change is written, and told to all who remember the client's tokens.
	if err := s.takeRegistration(c); err != nil {
		return err
	}
	body, err := readJSON(c.Request())
	if err != nil {
		return err
	}
	update, err := clients.ParseUpdate(body)
	if err != nil {
		return err
	}
	updated, err := s.clients.Update(c.Request().Context(), client, update)
	if errors.Is(err, clients.ErrUnknown) {
		return errRegistration // deleted in the meantime
	}
	if err != nil {
		return err
	}
	updated.Token = token
	s.log.InfoContext(c.Request().Context(), "registration updated", "client_id", client.ID)
	return c.JSON(http.StatusOK, s.registrationOf(updated))
}

// deleteRegistration serves DELETE /register/:client_id (§2.3).
func (s *server) deleteRegistration(c echo.Context) error {
	client, _, err := s.ownRegistration(c)
	if err != nil {
		return err
	}
	if err := s.clients.Unregister(c.Request().Context(), client); err != nil {
		return err
	}
	s.log.InfoContext(c.Request().Context(), "registration deleted", "client_id", client.ID)
	return c.NoContent(http.StatusNoContent)
}

// challengeError is an answer with a Bearer challenge.
type challengeError struct{ oauth.Challenge }

func (e challengeError) Error() string { return e.Challenge.Error }

// errRegistration says nothing about whether there is such a client.
var errRegistration = challengeError{oauth.Challenge{Error: "invalid_token",
	Description: "the registration access token is not one for this address; register again if it is lost"}}

// errSuspended is the answer to the right token of a suspended client, 403 as
// RFC 7592 §2.1 to §2.3 have it for a client that may not do this. A 401 would
// say that the token is wrong, and have it register anew.
var errSuspended = &oauth.Error{Code: "access_denied", Status: http.StatusForbidden,
	Description: "this client was suspended by an administrator, and cannot look after its registration until it is let in again"}

// ownRegistration returns the client whose registration access token came
// along, and the token.
func (s *server) ownRegistration(c echo.Context) (store.Client, string, error) {
	values := c.Request().Header.Values("Authorization")
	if len(values) == 0 {
		return store.Client{}, "", challengeError{}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return store.Client{}, "", errRegistration
	}
	audit.On(c.Request().Context()).Client = c.Param("client_id")
	client, err := s.clients.Registered(c.Request().Context(), c.Param("client_id"), token)
	switch {
	case errors.Is(err, clients.ErrSuspended): // which is an ErrUnknown
		err = errSuspended
	case errors.Is(err, clients.ErrUnknown):
		err = errRegistration
	}
	return client, token, err
}

// limitRegistrations keeps anybody from filling the store with clients (attack
// D7). Whoever is refused costs no write.
func (s *server) limitRegistrations(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := s.takeRegistration(c); err != nil {
			return err
		}
		return next(c)
	}
}

// takeRegistration counts a registration, or a change of one.
func (s *server) takeRegistration(c echo.Context) error {
	if wait := s.registrations.Take(limits.Network(c.RealIP())); wait > 0 {
		return &oauth.Error{Code: "slow_down", Status: http.StatusTooManyRequests, RetryAfter: wait,
			Description: "too many registrations; keep the client_id that you were given and use it again"}
	}
	return nil
}

// managingOrigins is the CORS policy of allowedOrigins for the methods of
// registration management.
func (s *server) managingOrigins(next echo.HandlerFunc) echo.HandlerFunc {
	return withCORS(cors.Options{
		AllowedOrigins: s.cfg.AllowedOrigins,
		AllowedMethods: []string{http.MethodGet, http.MethodPut, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Accept", "MCP-Protocol-Version"},
		ExposedHeaders: []string{"WWW-Authenticate"},
	}, next)
}

// readJSON returns the body of a request that has to be JSON.
func readJSON(r *http.Request) ([]byte, error) {
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return nil, oauth.InvalidRequest("the body must be application/json")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, oauth.InvalidRequest("the body is too large, or was cut off")
	}
	return body, nil
}
