package clients

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// Credentials are what a client sent to show who it is.
type Credentials struct {
	ID, Secret string
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
		return Credentials{}, oauth.InvalidClient() // private_key_jwt is not offered: nobody may think it was checked
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
// oauth errors of one shape; anything else is an outage.
func (r *Registry) Authenticate(ctx context.Context, cred Credentials) (store.Client, error) {
	c, err := r.Find(ctx, cred.ID)
	if errors.Is(err, ErrUnknown) {
		return store.Client{}, oauth.InvalidClient()
	}
	if err != nil {
		return store.Client{}, err
	}
	if cred.Method != c.AuthMethod {
		return store.Client{}, oauth.InvalidClient()
	}
	if c.AuthMethod == AuthNone {
		return c, nil
	}
	sent := store.HashOf(cred.Secret)
	// An unset hash must not equal anything that can be sent.
	if c.SecretHash == (store.Hash{}) || subtle.ConstantTimeCompare(sent[:], c.SecretHash[:]) != 1 {
		return store.Client{}, oauth.InvalidClient()
	}
	return c, nil
}
