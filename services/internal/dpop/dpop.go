// Package dpop checks DPoP proofs (RFC 9449): small JWTs by which a client
// shows, request by request, that it holds the key that its tokens are bound
// to. A bound token is worthless to whoever steals it without the key.
//
// Start at Checker.Check, for the token endpoint; resource.go is for those who
// take tokens. proof.go reads a proof, jwk.go the key in it, url.go compares
// addresses; nonce.go and replay.go keep proofs from being made in advance and
// from being used twice.
package dpop

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/internal/oauth"
)

// Names of RFC 9449 §4.1, §7.1 and §8.
const (
	Header      = "DPoP"       // carries the proof
	NonceHeader = "DPoP-Nonce" // carries the nonce of the next proof
	Scheme      = "DPoP"       // of the Authorization header, and the token_type
)

// Window is how far the clock of a client may be from ours, either way. It is
// as long as a captured proof could be tried elsewhere and as short as clocks
// that are set over the network allow (RFC 9449 §11.1: seconds or minutes).
const Window = 60 * time.Second

// ErrFull says that no proof can be judged right now, since none more could be
// remembered. It is an outage, not a refusal.
var ErrFull = errors.New("dpop: too many proofs in too short a time to remember them all")

// Request is what a proof must have been made for.
type Request struct {
	Method string

	// URL of the request as the public knows it. It comes from our
	// configuration: a Host header is the word of whoever sent it.
	URL string

	AccessToken string // that the request carries; empty at the token endpoint
	Key         string // that the token is bound to (a thumbprint); empty: any key
}

// Checker judges proofs. Give one to all endpoints of a server: what it knows
// of replays is its own.
type Checker struct {
	parser  *jwt.Parser
	nonces  nonces
	replays *replays
	now     func() time.Time
}

// NewChecker returns a Checker. All replicas of a server share the nonce key,
// and no other server has it.
func NewChecker(nonceKey []byte, now func() time.Time) *Checker {
	return &Checker{parser: newParser(now), nonces: nonces{nonceKey}, replays: newReplays(maxReplays), now: now}
}

// Nonce returns the nonce that proofs should carry from now on. Put it into
// NonceHeader of every answer to a request with a proof (RFC 9449 §8.2).
func (c *Checker) Nonce() string { return c.nonces.at(c.now()) }

// Check returns the thumbprint (RFC 7638) of the key that the one proof in h
// was signed with, when the proof is good for the request (RFC 9449 §4.3) and
// was not here before. The error is an *oauth.Error, invalid_dpop_proof or
// use_dpop_nonce, whose description is for the client's developer, or ErrFull.
func (c *Checker) Check(h http.Header, want Request) (key string, err error) {
	sent := h.Values(Header)
	if len(sent) != 1 {
		return "", Invalid(fmt.Sprintf("send one DPoP header; there are %d", len(sent)))
	}
	p, err := parse(c.parser, sent[0])
	if err != nil {
		return "", Invalid(err.Error())
	}
	htu, err := normalURL(p.URL)
	if err != nil {
		return "", Invalid("htu: " + err.Error())
	}
	url, err := normalURL(want.URL)
	if err != nil {
		return "", fmt.Errorf("dpop: expected URL: %w", err)
	}
	now := c.now()
	switch {
	case p.Method != want.Method:
		return "", Invalid("htm is not the method of this request")
	case htu != url:
		return "", Invalid("htu is not the address of this request, " + url)
	case math.Abs(p.IssuedAt-float64(now.Unix())) > Window.Seconds():
		return "", Invalid(fmt.Sprintf("iat is more than %d seconds from now; make a proof for each request and check the clock", int(Window.Seconds())))
	case want.AccessToken != "" && !same(p.TokenHash, hashOf(want.AccessToken)):
		return "", Invalid("ath is not the hash of the access token")
	case want.Key != "" && !same(p.Key, want.Key):
		return "", Invalid("the access token is bound to another key")
	case !c.nonces.accepts(p.Nonce, now):
		return "", useNonce()
	}
	// Last, so that only what is good in every other way is remembered.
	switch err := c.replays.add(p.Key, p.ID, htu, now); {
	case errors.Is(err, errReplayed):
		return "", Invalid("this proof was used before; make one for each request")
	case err != nil:
		return "", err
	}
	return p.Key, nil
}

// CheckNonce returns the error that tells the client which nonce to use, when
// the proof in h says of itself that it has another or none. It checks nothing
// else and believes nothing: it is for asking before a request uses something
// up that the client would need again.
func (c *Checker) CheckNonce(h http.Header) error {
	sent := h.Values(Header)
	if len(sent) != 1 || len(sent[0]) > maxProof {
		return nil // Check says what is wrong
	}
	claims := jwt.MapClaims{}
	_, _, err := c.parser.ParseUnverified(sent[0], claims)
	if nonce, _ := claims["nonce"].(string); err == nil && !c.nonces.accepts(nonce, c.now()) {
		return useNonce()
	}
	return nil // also of what cannot be read
}

func useNonce() *oauth.Error {
	return &oauth.Error{Code: UseNonce, Description: "repeat the request with a new proof that has the nonce of the DPoP-Nonce header", Status: http.StatusBadRequest}
}

// The error codes of RFC 9449 §5, §7.1 and §8.
const (
	InvalidProof = "invalid_dpop_proof"
	UseNonce     = "use_dpop_nonce"
)

// Invalid is a refused proof, or one that is missing.
func Invalid(description string) *oauth.Error {
	return &oauth.Error{Code: InvalidProof, Description: description, Status: http.StatusBadRequest}
}

// hashOf returns the ath of an access token (RFC 9449 §4.2).
func hashOf(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
