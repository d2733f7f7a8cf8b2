// Package token validates the JWT access tokens (RFC 9068) that travel behind
// the gateway. The MCP server and the stocks API each run it with their own
// audience: being behind the gateway is no reason to be believed.
//
// Start at Verify; keys.go fetches the issuer's keys, remembered.go spares
// their use, middleware.go puts a Verifier in front of a handler.
package token

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Errors that a caller tells apart: the token is bad (401), or it cannot be
// judged because the keys are out of reach (503).
var (
	ErrInvalid     = errors.New("token is not valid here")
	ErrUnavailable = errors.New("signing keys cannot be fetched")
)

// Type is the JOSE typ of an access token (RFC 9068 §2.1). Checking it keeps
// an ID token from passing for one.
const Type = "at+jwt"

// Leeway is the clock difference between services that is forgiven.
const Leeway = 10 * time.Second

// maxSize bounds the work that a hostile token can cause, in bytes.
const maxSize = 8 << 10

// maxLifetime is the longest validity that is believed. Ours live for
// minutes; a token for years is a mistake or a number that overflowed.
const maxLifetime = 24 * time.Hour

// Claims of an access token.
type Claims struct {
	jwt.RegisteredClaims
	ClientID             string `json:"client_id"`
	Scope                string `json:"scope,omitempty"`
	AuthTime             int64  `json:"auth_time,omitempty"` // seconds since 1970
	ACR                  string `json:"acr,omitempty"`
	Region               string `json:"region,omitempty"`
	ClientType           string `json:"client_type,omitempty"`            // "mcp" for AI agents, "web" for others
	ClientAssuranceLevel int    `json:"client_assurance_level,omitempty"` // 1 to 3
	Actor                *Actor `json:"act,omitempty"`

	// Confirmation names the key that the client proves at the gateway (RFC
	// 9449 §6.1). Behind it nobody checks it: no service can see the proof,
	// and what the gateway lets pass was proven there.
	Confirmation *Confirmation `json:"cnf,omitempty"`

	// GrantID names the approval that the token came of. Everything that one
	// approval gave is revoked, and found in the logs, by it.
	GrantID string `json:"grant_id,omitempty"`

	// AuthorizationDetails are the single operations that the user approved
	// beyond what the scope allows (RFC 9396 §9.1).
	AuthorizationDetails []AuthorizationDetail `json:"authorization_details,omitempty"`
}

// Confirmation names the key that a token is bound to (RFC 7800 §3.1).
type Confirmation struct {
	JKT string `json:"jkt"` // thumbprint (RFC 7638)
}

// Actor names who acts for the subject, outermost first (RFC 8693 §4.1).
type Actor struct {
	Subject string `json:"sub"`
	Actor   *Actor `json:"act,omitempty"`
}

// UnmarshalJSON reads claims. Those that authorization is decided on are empty
// when they hold another JSON type than they should, so that the policy refuses
// what needs them (403): the token is genuine, and a new one would be no better.
func (c *Claims) UnmarshalJSON(b []byte) error {
	type plain Claims // without this method
	fields := struct {
		*plain
		Region               json.RawMessage `json:"region"`
		ClientType           json.RawMessage `json:"client_type"`
		ClientAssuranceLevel json.RawMessage `json:"client_assurance_level"`
		AuthTime             json.RawMessage `json:"auth_time"`
		AuthorizationDetails json.RawMessage `json:"authorization_details"`
	}{plain: (*plain)(c)}
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	// A scalar that does not decode stays as it was: empty.
	_ = json.Unmarshal(fields.Region, &c.Region)
	_ = json.Unmarshal(fields.ClientType, &c.ClientType)
	_ = json.Unmarshal(fields.ClientAssuranceLevel, &c.ClientAssuranceLevel)
	_ = json.Unmarshal(fields.AuthTime, &c.AuthTime)
	if details, err := parseDetails(fields.AuthorizationDetails); err == nil {
		c.AuthorizationDetails = details
	}
	return nil
}

// Validate is called by the JWT library after its own checks. RFC 9068 §2.2
// requires the claims that it asks for.
func (c Claims) Validate() error {
	if c.Subject == "" || c.ClientID == "" || c.ID == "" {
		return errors.New("sub, client_id and jti are required")
	}
	if len(c.Audience) != 1 {
		return errors.New("exactly one audience is required")
	}
	if c.IssuedAt == nil || c.ExpiresAt == nil {
		return errors.New("iat and exp are required")
	}
	if life := c.ExpiresAt.Sub(c.IssuedAt.Time); life <= 0 || life > maxLifetime {
		return errors.New("iat and exp are not a plausible lifetime apart")
	}
	return nil
}

// Verifier checks access tokens for one audience.
type Verifier struct {
	keys   *keySet
	parser *jwt.Parser
	memory memory
	now    func() time.Time
}

// NewVerifier returns a verifier for tokens of issuer for audience, signed
// with a key at jwksURL. It fetches the keys when the first token arrives, so
// a service starts before the authorization server does.
func NewVerifier(issuer, audience, jwksURL string, client *http.Client) *Verifier {
	return NewVerifierAt(issuer, audience, jwksURL, client, time.Now)
}

// NewVerifierAt is NewVerifier with a clock.
func NewVerifierAt(issuer, audience, jwksURL string, client *http.Client, now func() time.Time) *Verifier {
	return &Verifier{keys: newKeySet(jwksURL, client, now), memory: newMemory(), now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(Leeway),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(now),
	)}
}

// Verify returns the claims of raw, or an error that wraps ErrInvalid or
// ErrUnavailable. The error is for the log: a client learns nothing from it.
//
// A token whose kid is unknown is invalid when the key set could be fetched,
// and cannot be judged (ErrUnavailable) when it could not: the issuer may have
// begun to use a new key.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Claims, error) {
	if len(raw) > maxSize {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, maxSize)
	}
	if known, ok := v.memory.get(raw, v.now()); ok {
		if key, err := v.keys.key(ctx, known.kid); err == nil && key.Equal(known.key) {
			return &known.claims, nil
		}
	}
	if err := CheckForm(raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	claims := new(Claims)
	var kid string
	var key *ecdsa.PublicKey
	_, err := v.parser.ParseWithClaims(raw, claims, func(t *jwt.Token) (_ any, err error) {
		if kid, err = checkHeader(t.Header); err != nil {
			return nil, err
		}
		key, err = v.keys.key(ctx, kid)
		return key, err
	})
	switch {
	case errors.Is(err, ErrUnavailable):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	v.memory.add(raw, *claims, kid, key, v.now())
	return claims, nil
}

// checkHeader returns the kid. Our issuer sends alg, typ and kid and nothing
// else. Every other parameter is refused, although RFC 7515 §4 would let us
// ignore most of them, because what they are for is to bring a key along (jwk,
// jku, x5c, x5u) or to change what is signed (crit, b64, zip).
func checkHeader(header map[string]any) (kid string, err error) {
	for name := range header {
		if name != "alg" && name != "typ" && name != "kid" {
			return "", errors.New("the header has more than alg, typ and kid")
		}
	}
	// RFC 9068 §4: either form, and media types ignore case.
	typ, _ := header["typ"].(string)
	if !strings.EqualFold(typ, Type) && !strings.EqualFold(typ, "application/"+Type) {
		return "", errors.New("typ is not " + Type)
	}
	if kid, _ = header["kid"].(string); kid == "" {
		return "", errors.New("kid is missing")
	}
	return kid, nil
}
