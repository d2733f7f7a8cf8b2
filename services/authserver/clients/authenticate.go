package clients

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// Credentials are what a client sent to show who it is.
type Credentials struct {
	ID, Secret string // for private_key_jwt the assertion is the secret, and the id may be in it alone
	Method     string // how it sent them
}

// ReadCredentials finds the client's credentials in a request (RFC 6749
// §2.3). More than one way of sending them is refused: whichever of two ids a
// server then believes is the wrong one for somebody.
func ReadCredentials(header http.Header, form url.Values) (Credentials, error) {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	authorizations := header.Values("Authorization")
	switch {
	case len(authorizations) > 1:
		return Credentials{}, oauth.InvalidClient()
	case form.Has("client_assertion") || form.Has("client_assertion_type"):
		if len(authorizations) > 0 || form.Has("client_secret") || form.Get("client_assertion") == "" || form.Get("client_assertion_type") != AssertionType {
			return Credentials{}, oauth.InvalidClient()
		}
		return Credentials{ID: id, Secret: form.Get("client_assertion"), Method: AuthPrivateKey}, nil
	case len(authorizations) == 1:
		basicID, basicSecret, ok := parseBasic(authorizations[0])
		if !ok || form.Has("client_secret") || form.Has("client_id") && id != basicID {
			return Credentials{}, oauth.InvalidClient()
		}
		return Credentials{ID: basicID, Secret: basicSecret, Method: AuthBasic}, nil
	case form.Has("client_secret"):
		return Credentials{ID: id, Secret: secret, Method: AuthPost}, nil
	case id == "":
		return Credentials{}, oauth.InvalidClient()
	default:
		return Credentials{ID: id, Method: AuthNone}, nil
	}
}

// parseBasic reads id and secret, each form-urlencoded before they were put
// together (RFC 6749 §2.3.1).
func parseBasic(header string) (id, secret string, ok bool) {
	scheme, value, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", "", false
	}
	rawID, rawSecret, found := strings.Cut(string(raw), ":")
	id, err1 := url.QueryUnescape(rawID)
	secret, err2 := url.QueryUnescape(rawSecret)
	return id, secret, found && err1 == nil && err2 == nil && id != ""
}

// Authenticate returns the client that the credentials belong to. The method
// that the client registered is the only one that it may use. Failures are
// oauth errors of one shape, after the same work, and say why to the log
// alone; anything else is an outage.
func (r *Registry) Authenticate(ctx context.Context, cred Credentials) (store.Client, error) {
	if cred.Method == AuthPrivateKey {
		return r.authenticateByKey(ctx, cred)
	}
	c, err := r.Find(ctx, cred.ID)
	unknown := errors.Is(err, ErrUnknown)
	if err != nil && !unknown {
		return store.Client{}, err
	}
	sent := store.HashOf(cred.Secret)
	// An unset hash must not equal anything that can be sent.
	right := subtle.ConstantTimeCompare(sent[:], c.SecretHash[:]) == 1 && c.SecretHash != (store.Hash{})
	switch {
	case unknown:
		return refuse("there is no such client")
	case cred.Method != c.AuthMethod:
		return refuse(cred.Method + " is not its registered method")
	case c.AuthMethod != AuthNone && !right:
		return refuse("the secret is wrong")
	}
	return c, nil
}

// refuse returns the one answer to failed authentication, with the reason for
// the log.
func refuse(reason string) (store.Client, error) {
	return store.Client{}, fmt.Errorf("%w (%s)", oauth.InvalidClient(), reason)
}
