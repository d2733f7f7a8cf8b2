package authserver

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/rs/cors"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/dpop"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
)

// maxBody bounds what anybody may send, in bytes.
const maxBody = 64 << 10

// limitBody keeps a request from being larger than anything that is served
// here needs.
func limitBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxBody)
		return next(c)
	}
}

// noStore keeps answers out of every cache.
func noStore(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		return next(c)
	}
}

// anyOrigin lets every web page read documents that are public anyway.
func (s *server) anyOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	return withCORS(cors.Options{AllowedOrigins: []string{"*"}, AllowedMethods: []string{http.MethodGet}, AllowedHeaders: []string{"MCP-Protocol-Version"}}, next)
}

// allowedOrigins lets the web pages of known clients call the endpoints, never
// with cookies.
func (s *server) allowedOrigins(next echo.HandlerFunc) echo.HandlerFunc {
	return withCORS(cors.Options{
		AllowedOrigins: s.cfg.AllowedOrigins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Accept", "MCP-Protocol-Version", dpop.Header},
		ExposedHeaders: []string{"WWW-Authenticate", dpop.NonceHeader},
	}, next)
}

// withCORS answers preflight requests and marks the others.
func withCORS(options cors.Options, next echo.HandlerFunc) echo.HandlerFunc {
	if len(options.AllowedOrigins) == 0 {
		options.AllowOriginFunc = func(string) bool { return false } // the library takes an empty list for all
	}
	policy := cors.New(options)
	return func(c echo.Context) error {
		if c.Request().Method == http.MethodOptions {
			policy.HandlerFunc(c.Response(), c.Request())
			return c.NoContent(http.StatusNoContent)
		}
		policy.HandlerFunc(c.Response(), c.Request())
		return next(c)
	}
}

// form reads the form of an endpoint that takes POST alone (RFC 6749 §3.2).
// Parameters in the URL would end in logs; one that is there twice means
// something else to somebody (§3.1).
func form(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.URL.RawQuery != "" {
			return oauth.InvalidRequest("send the parameters in the body, not in the URL")
		}
		if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/x-www-form-urlencoded" {
			return oauth.InvalidRequest("the body must be application/x-www-form-urlencoded")
		}
		if err := r.ParseForm(); err != nil {
			return oauth.InvalidRequest(fmt.Sprintf("the body is not a form of at most %d bytes", maxBody))
		}
		for name, values := range r.PostForm {
			if len(values) > 1 && name != "resource" && name != "audience" {
				return oauth.InvalidRequest("a parameter was sent more than once")
			}
		}
		return next(c)
	}
}

// clientKey is where the authenticated client is kept.
type clientKey struct{}

// authenticated lets a known client pass that shows who it is.
func (s *server) authenticated(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		cred, err := clients.ReadCredentials(r.Header, r.PostForm)
		if err != nil {
			return err
		}
		client, err := s.clients.Authenticate(r.Context(), cred)
		if refused := (*oauth.Error)(nil); errors.As(err, &refused) {
			// The client is not told why: this is where its developer can look.
			e := audit.On(r.Context())
			e.Kind, e.Client = audit.ClientRefused, cred.ID
			s.log.InfoContext(r.Context(), "client not authenticated", "request_id", httpserver.RequestID(r.Context()), "client_id", cred.ID, "reason", err.Error())
		}
		if err != nil {
			return err
		}
		audit.On(r.Context()).Client = client.ID
		c.SetRequest(r.WithContext(context.WithValue(r.Context(), clientKey{}, client)))
		return next(c)
	}
}

// clientOf returns the client that authenticated.
func clientOf(ctx context.Context) store.Client {
	c, _ := ctx.Value(clientKey{}).(store.Client)
	return c
}

// sameOrigin refuses forms that another site sent (OWASP ASVS 5.0 V3.5).
func (s *server) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(s.cfg.Issuer()); err != nil {
		panic(err) // the issuer was validated
	}
	return func(c echo.Context) error {
		if err := protection.Check(c.Request()); err != nil {
			return pageError{Status: http.StatusForbidden, Title: "This form came from somewhere else",
				Text: "It was not sent by a page of this site. Go back to your application and start again."}
		}
		return next(c)
	}
}
