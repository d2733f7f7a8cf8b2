// Package oauth holds the words of OAuth 2.1 that more than one service uses.
package oauth

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Scopes of the two resources and of OpenID Connect.
const (
	ScopeStocksRead    = "stocks/read"
	ScopeStocksTrade   = "stocks/trade"
	ScopeOpenID        = "openid"
	ScopeEmail         = "email"
	ScopeOfflineAccess = "offline_access"
)

// Grant and token types (RFC 8693 §2.1 and §3).
const (
	GrantDeviceCode      = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628 §3.4
	GrantTokenExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	TokenTypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	TokenTypeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// MediaTypeJWT asks the introspection endpoint for the access token JWT itself
// (the phantom token). It is not RFC 9701's signed introspection response.
const MediaTypeJWT = "application/jwt"

// Challenge is what a protected resource answers to a request that it does
// not serve (RFC 6750 §3, RFC 9728 §5.1).
type Challenge struct {
	Error            string        // invalid_token, insufficient_scope, invalid_request, insufficient_user_authentication; empty when there was no token at all
	Description      string        // for developers; never why a token failed
	Scope            string        // all scopes that the operation needs
	ResourceMetadata string        // URL of the protected resource metadata
	Scheme           string        // empty means Bearer
	MaxAge           time.Duration // how recent the sign-in has to be (RFC 9470 §3); 0 leaves it out
	Algs             string        // of the proofs that the scheme DPoP takes (RFC 9449 §7.1), space separated
}

// Write answers with the challenge and the status that its error stands for:
// 400 malformed, 403 insufficient scope, else 401. The others are further
// ways to authenticate, which come after it.
func (c Challenge) Write(w http.ResponseWriter, others ...Challenge) {
	w.Header().Set("WWW-Authenticate", c.String())
	for _, other := range others {
		w.Header().Add("WWW-Authenticate", other.String())
	}
	w.Header().Set("Cache-Control", "no-store")
	status := http.StatusUnauthorized
	switch c.Error {
	case "insufficient_scope":
		status = http.StatusForbidden
	case "invalid_request":
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
}

// String returns the WWW-Authenticate value.
func (c Challenge) String() string {
	var params []string
	var maxAge string
	if c.MaxAge > 0 {
		maxAge = strconv.Itoa(int(c.MaxAge.Seconds()))
	}
	for _, p := range [][2]string{
		{"error", c.Error}, {"error_description", c.Description},
		{"algs", c.Algs}, {"max_age", maxAge}, {"scope", c.Scope}, {"resource_metadata", c.ResourceMetadata},
	} {
		if p[1] != "" {
			params = append(params, p[0]+`="`+p[1]+`"`)
		}
	}
	return strings.TrimSpace(cmp.Or(c.Scheme, "Bearer") + " " + strings.Join(params, ", "))
}

// HasScope reports whether want is one of the space-separated scopes
// (RFC 6749 §3.3).
func HasScope(scope, want string) bool {
	for s := range strings.SplitSeq(scope, " ") {
		if s == want {
			return true
		}
	}
	return false
}
