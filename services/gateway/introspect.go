package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/internal/config"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// refusal is why a token does not pass, for the log. Every other error means
// that the token could not be judged.
type refusal string

// Error implements error.
func (r refusal) Error() string { return string(r) }

// maxIntrospection bounds the authorization server's answer, in bytes.
const maxIntrospection = 8 << 10

// introspector asks the authorization server what stands behind a token
// (RFC 7662, with the JWT itself as the answer).
type introspector struct {
	Endpoint string // URL
	ClientID string
	Secret   config.Secret
	Client   *http.Client
	Now      func() time.Time
}

// phantom returns what stands behind an opaque token if it is for resource.
// The error is a refusal when the authorization server, or its JWT, says that
// the token must not pass.
func (i *introspector) phantom(ctx context.Context, opaque, resource string) (phantom, error) {
	raw, err := i.introspect(ctx, opaque)
	if err != nil {
		return phantom{}, err
	}
	// The signature is for the services to check: this JWT came straight
	// from the authorization server.
	var claims token.Claims
	parsed, _, err := jwt.NewParser(jwt.WithStrictDecoding()).ParseUnverified(raw, &claims)
	if err != nil {
		return phantom{}, errors.New("introspection: the JWT cannot be read")
	}
	switch {
	case parsed.Header["typ"] != token.Type:
		return phantom{}, refusal("not an access token")
	case len(claims.Audience) != 1 || claims.Audience[0] != resource:
		return phantom{}, refusal("for another resource")
	case claims.ExpiresAt == nil || !i.Now().Before(claims.ExpiresAt.Time):
		return phantom{}, refusal("expired")
	}
	found := phantom{
		JWT: raw, Subject: claims.Subject, ClientID: claims.ClientID, GrantID: claims.GrantID, TokenID: claims.ID,
		Scope: claims.Scope, Expires: claims.ExpiresAt.Time,
	}
	if claims.Confirmation != nil {
		if found.Key = claims.Confirmation.JKT; found.Key == "" {
			return phantom{}, refusal("bound in a way that is not known here")
		}
	}
	return found, nil
}

// introspect returns the JWT behind an active token. Only the two answers
// that the authorization server is known to give are taken as its word;
// anything else, such as the error page of something in between, is an outage.
func (i *introspector) introspect(ctx context.Context, opaque string) (string, error) {
	form := url.Values{"token": {opaque}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("introspection: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", oauth.MediaTypeJWT)
	oauth.SetClientAuth(req, i.ClientID, string(i.Secret))
	resp, err := i.Client.Do(req)
	if err != nil {
		return "", fmt.Errorf("introspection: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxIntrospection+1))
	if err != nil {
		return "", fmt.Errorf("introspection: %w", err)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return "", errors.New("introspection: the authorization server refuses our credentials; check CLIENT_SECRET_FILE")
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("introspection: unexpected status %d", resp.StatusCode)
	case len(body) > maxIntrospection:
		return "", fmt.Errorf("introspection: the answer is longer than %d bytes", maxIntrospection)
	case media == oauth.MediaTypeJWT && token68.Match(body): // it becomes part of a header
		return string(body), nil
	case media == "application/json" && saysInactive(body):
		return "", refusal("not active")
	}
	return "", fmt.Errorf("introspection: unexpected answer of type %q", media)
}

// saysInactive reports whether body is JSON with the boolean "active":false.
func saysInactive(body []byte) bool {
	var answer map[string]any
	return json.Unmarshal(body, &answer) == nil && answer["active"] == false
}
