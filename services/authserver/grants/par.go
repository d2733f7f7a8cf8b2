package grants

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// pushedStore is what pushed requests need of the store.
type pushedStore interface {
	AddPushedRequest(ctx context.Context, hash store.Hash, r store.Request) error
	TakePushedRequest(ctx context.Context, hash store.Hash, clientID string, now time.Time) (store.Request, error)
}

// PushedLifetime is how long a browser has to arrive with a request URI. The
// client sends it off as soon as it has the answer (RFC 9126 §2.2).
const PushedLifetime = time.Minute

// requestURIPrefix begins every request URI that is given out here (RFC 9126
// §2.2). No other is taken: this server fetches no request from anywhere.
const requestURIPrefix = "urn:ietf:params:oauth:request_uri:"

func isPushed(params url.Values) bool {
	return strings.HasPrefix(params.Get("request_uri"), requestURIPrefix)
}

// Push checks an authorization request that an authenticated client sends
// ahead of the browser (RFC 9126 §2.1) as the authorization endpoint would,
// and returns the request URI that stands for it. Errors are oauth errors, or
// an outage.
func (s *Service) Push(ctx context.Context, client store.Client, params url.Values) (requestURI string, err error) {
	switch {
	case params.Has("request_uri"):
		return "", oauth.InvalidRequest("request_uri is what this endpoint answers; send the parameters themselves")
	case !clients.IsRedirect(client, params.Get("redirect_uri")):
		return "", oauth.InvalidRequest("redirect_uri is not one that this client registered; they are compared to the letter")
	}
	request, oauthErr := s.readRequest(client, params)
	if oauthErr != nil {
		return "", oauthErr
	}
	request.ExpiresAt = s.Now().Add(PushedLifetime)
	secret := newSecret()
	if err := s.Store.AddPushedRequest(ctx, store.HashOf(secret), request); err != nil {
		return "", fmt.Errorf("store pushed authorization request: %w", err)
	}
	return requestURIPrefix + secret, nil
}

// takePushed returns the request behind a request URI. Of what the browser
// brings only the URI and the client count (RFC 9126 §4, RFC 9101 §5). What
// cannot be found leads nowhere: there is no redirect URI to believe.
func (s *Service) takePushed(ctx context.Context, params url.Values) (store.Request, error) {
	client, err := s.resolve(ctx, params.Get("client_id"))
	if err != nil {
		return store.Request{}, err
	}
	secret := strings.TrimPrefix(params.Get("request_uri"), requestURIPrefix)
	r, err := s.Store.TakePushedRequest(ctx, store.HashOf(secret), client.ID, s.Now())
	if errors.Is(err, store.ErrNotFound) {
		return r, LocalError{Reason: "The application's request is not known here. It may have been used already, or be older than a minute."}
	}
	if err != nil {
		return r, fmt.Errorf("take pushed authorization request: %w", err)
	}
	if !clients.IsRedirect(client, r.RedirectURI) { // it was, a minute ago
		return r, LocalError{Reason: "The application asked to send you to an address that is not registered any more."}
	}
	r.ID, r.ExpiresAt = rand.Text(), s.Now().Add(RequestLifetime)
	return r, nil
}
