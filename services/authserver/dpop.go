package authserver

import (
	"slices"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/internal/dpop"
	"demo.example/services/internal/oauth"
)

// keyBoundGrants are those whose tokens go to a client that may bind them to
// a key of its own. Token exchange is not among them: what it issues is for
// the private network, where nobody looks at proofs. RFC 9449 §5 would let us
// answer with a bearer token instead; a client that wanted more should know.
var keyBoundGrants = []string{"authorization_code", "refresh_token", "client_credentials", oauth.GrantDeviceCode}

// keyBound binds the tokens of an answer to the key that the client proves
// with a DPoP proof (RFC 9449 §5). A client that sends none gets bearer
// tokens, unless it registered to never want them.
//
// A nonce is required: without one, whoever gets at the key for a moment could
// make proofs for any time to come.
func (s *server) keyBound(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		grant := r.PostForm.Get("grant_type")
		binds := slices.Contains(keyBoundGrants, grant)
		switch sent := len(r.Header.Values(dpop.Header)) > 0; {
		case !sent && binds && clientOf(r.Context()).BoundTokens:
			return dpop.Invalid("this client registered dpop_bound_access_tokens; send a DPoP proof")
		case !sent:
			return next(c)
		case !binds && slices.Contains(grantTypes, grant):
			return oauth.InvalidRequest("the tokens of this grant are not bound to a key; send the request without a DPoP proof")
		}
		key, err := s.provenKey(c, "/token")
		if err != nil {
			return err
		}
		c.SetRequest(r.WithContext(grants.WithProofKey(r.Context(), key)))
		return next(c)
	}
}

// nonceFirst tells a client which nonce to use before its assertion is looked
// at. An assertion is good once, and the client has to send the request again.
func (s *server) nonceFirst(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if len(r.Header.Values(dpop.Header)) == 0 || !r.PostForm.Has("client_assertion") {
			return next(c)
		}
		if err := s.proofs.CheckNonce(r.Header); err != nil {
			c.Response().Header().Set(dpop.NonceHeader, s.proofs.Nonce())
			return err
		}
		return next(c)
	}
}

// provenKey returns the thumbprint of the key that the client proves with a
// request to a path. Every answer has the nonce for the next proof.
func (s *server) provenKey(c echo.Context, path string) (string, error) {
	c.Response().Header().Set(dpop.NonceHeader, s.proofs.Nonce())
	return s.proofs.Check(c.Request().Header, dpop.Request{Method: c.Request().Method, URL: s.cfg.Issuer() + path})
}

// keyPushed takes the key that signed a proof for the one that a pushed
// request is to be bound to: the other way of saying dpop_jkt (RFC 9449 §10.1).
func (s *server) keyPushed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if len(r.Header.Values(dpop.Header)) == 0 {
			return next(c)
		}
		key, err := s.provenKey(c, "/par")
		if err != nil {
			return err
		}
		if r.PostForm.Has("dpop_jkt") && r.PostForm.Get("dpop_jkt") != key {
			return oauth.InvalidRequest("dpop_jkt is not the thumbprint of the key that signed the DPoP proof; send one of the two")
		}
		r.PostForm.Set("dpop_jkt", key)
		return next(c)
	}
}
