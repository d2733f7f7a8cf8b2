package oauth

import (
	"net/http"
	"net/url"
)

// SetClientAuth makes a request that of a client with a secret
// (client_secret_basic). Both are form-urlencoded before they become HTTP's
// user and password, which net/http leaves to its callers (RFC 6749 §2.3.1).
func SetClientAuth(r *http.Request, id, secret string) {
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
}
