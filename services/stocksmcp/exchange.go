package stocksmcp

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"demo.example/services/internal/config"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/revocation"
	"demo.example/services/internal/token"
)

const (
	exchangeCacheSize = 4096
	// exchangeSkew is how long before its end a cached token is given up, so
	// that it is still good when it arrives.
	exchangeSkew = 15 * time.Second
	// exchangeTTL is how long a cached token is used while revocations arrive.
	// Without them it is revocation.Bound.
	exchangeTTL = time.Minute
)

// exchange trades a user's token for one that is good at another resource
// (RFC 8693), and remembers it. The token that came in stays here: had the
// stocks API accepted that one, every server a user connects to could call
// it as the user.
type exchange struct {
	exchangeConfig
	cache  *lru.Cache[string, exchanged]
	flight singleflight.Group
}

type exchangeConfig struct {
	URL      string // of the token endpoint
	ClientID string
	Secret   config.Secret
	Client   *http.Client
	Revoked  *revocation.Watch
	Now      func() time.Time
}

type exchanged struct {
	token string
	until time.Time // when to stop using it
	asked revocation.Asked
	hangs revocation.Subject
}

func newExchange(cfg exchangeConfig) *exchange {
	cache, err := lru.New[string, exchanged](exchangeCacheSize)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return &exchange{exchangeConfig: cfg, cache: cache}
}

// token returns a token for audience with scope, on behalf of the user whose
// subjectToken it was given; expires is that one's end. Errors wrap
// errUnavailable, errForbidden or errWithdrawn.
//
// What is remembered is keyed by the subject token itself, so a token can
// reach nobody but the user whose it is.
func (e *exchange) token(ctx context.Context, subjectToken string, expires time.Time, audience, scope string) (string, error) {
	hash := sha256.Sum256([]byte(subjectToken))
	key := string(hash[:]) + "\n" + audience + "\n" + scope
	arrived := e.Now()
	if hit, ok := e.cache.Get(key); ok {
		if arrived.Before(hit.until) && e.Revoked.Holds(hit.asked, hit.hangs, arrived) {
			return hit.token, nil
		}
		e.cache.Remove(key)
	}
	// Requests that arrive together share one exchange, which a caller who
	// gives up must not take from the others.
	result := e.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		asked := e.Revoked.Ask()
		got, lifetime, err := e.request(ctx, subjectToken, audience, scope)
		if err != nil {
			return "", err
		}
		until := e.Now().Add(lifetime)
		if expires.Before(until) {
			until = expires
		}
		e.cache.Add(key, exchanged{got, until.Add(-exchangeSkew), asked, hangsOn(got)})
		return got, nil
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return "", r.Err
		}
		return r.Val.(string), nil
	case <-ctx.Done():
		return "", fmt.Errorf("%w: %w", errUnavailable, ctx.Err())
	}
}

// request performs the exchange (RFC 8693 §2.1).
func (e *exchange) request(ctx context.Context, subjectToken, audience, scope string) (string, time.Duration, error) {
	return e.post(ctx, exchangeForm(subjectToken, audience, scope), exchangeRefusal)
}

// post sends an exchange and returns the token and how long it lives. refusal
// says what the error code of a 400 means.
func (e *exchange) post(ctx context.Context, form url.Values, refusal func(code string) error) (string, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	oauth.SetClientAuth(req, e.ClientID, string(e.Secret))
	resp, err := e.Client.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("%w: token exchange: %w", errUnavailable, err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken     string `json:"access_token"`
		IssuedTokenType string `json:"issued_token_type"`
		TokenType       string `json:"token_type"`
		ExpiresIn       int    `json:"expires_in"` // seconds
		Error           string `json:"error"`
	}
	decodeErr := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer)
	switch {
	case decodeErr != nil:
		return "", 0, fmt.Errorf("%w: token exchange: %s, not JSON", errUnavailable, resp.Status)
	case resp.StatusCode == http.StatusBadRequest:
		return "", 0, refusal(answer.Error)
	case resp.StatusCode != http.StatusOK:
		// 401 is this server's own mistake, not the user's.
		return "", 0, fmt.Errorf("%w: token exchange: %s", errUnavailable, resp.Status)
	case answer.AccessToken == "" || answer.AccessToken == form.Get("subject_token") ||
		answer.IssuedTokenType != oauth.TokenTypeAccessToken && answer.IssuedTokenType != oauth.TokenTypeJWT ||
		!strings.EqualFold(answer.TokenType, "Bearer"):
		return "", 0, fmt.Errorf("%w: token exchange: unexpected answer", errUnavailable)
	}
	return answer.AccessToken, time.Duration(answer.ExpiresIn) * time.Second, nil
}

// hangsOn returns what an exchanged token hangs on. It came straight from the
// authorization server, so its signature is for the stocks API to check. With
// nothing in it that can be read, it is forgotten after a second.
func hangsOn(raw string) revocation.Subject {
	var claims token.Claims
	if _, _, err := jwt.NewParser().ParseUnverified(raw, &claims); err != nil {
		return revocation.Subject{}
	}
	return revocation.SubjectOf(claims)
}

// exchangeRefusal says what an error code means for the user (RFC 8693
// §2.2.2). The code is matched and never repeated.
func exchangeRefusal(code string) error {
	switch code {
	case "invalid_request", "invalid_grant":
		// The request is the same every time, so it is the subject token: it
		// was revoked since the gateway let it through.
		return fmt.Errorf("%w: subject token refused", errWithdrawn)
	case "invalid_target", "invalid_scope", "unauthorized_client":
		return fmt.Errorf("%w: target or scope refused", errForbidden)
	}
	return fmt.Errorf("%w: token exchange: 400", errUnavailable)
}
