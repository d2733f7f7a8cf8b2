// Package tokentest is an issuer of access tokens for the tests of whoever
// accepts them: real ES256 keys and a JWKS server that can fail on demand.
package tokentest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/internal/token"
)

// Issuer signs tokens.
type Issuer struct {
	Name    string       // the iss of its tokens
	JWKSURL string       // its key set
	Fetches atomic.Int64 // how often that was asked for
	Down    atomic.Bool  // answer 503 instead

	t      testing.TB
	mu     sync.Mutex
	key    *ecdsa.PrivateKey
	kid    string
	keys   map[string]*ecdsa.PrivateKey // by kid, published or not
	public []map[string]string
	body   string        // served instead of the keys when not empty
	hang   chan struct{} // when set, answers wait for it to be closed
}

// New returns an issuer called name, whose key set is served until the test
// ends.
func New(t testing.TB, name string) *Issuer {
	i := &Issuer{Name: name, t: t, keys: map[string]*ecdsa.PrivateKey{}}
	i.Rotate("key-1")
	srv := httptest.NewServer(i)
	t.Cleanup(srv.Close)
	i.JWKSURL = srv.URL + "/jwks"
	return i
}

// ServeHTTP answers with the key set.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	i.Fetches.Add(1)
	if i.Down.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	i.mu.Lock()
	hang := i.hang
	i.mu.Unlock()
	if hang != nil {
		<-hang
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.body != "" {
		_, _ = w.Write([]byte(i.body))
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": i.public})
}

// Rotate signs with a new key from now on; the older ones stay published.
func (i *Issuer) Rotate(kid string) {
	i.t.Helper()
	i.Publish(kid)
	i.Use(kid)
}

// Use signs with a key that was published before.
func (i *Issuer) Use(kid string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.kid = i.keys[kid], kid
}

// Publish adds a new key to the key set, and does not sign with it yet.
func (i *Issuer) Publish(kid string) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[kid] = key
	i.public = append(i.public, map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]),
		"y": base64.RawURLEncoding.EncodeToString(point[33:]),
	})
}

// Retire stops publishing a key.
func (i *Issuer) Retire(kid string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	kept := i.public[:0:0]
	for _, k := range i.public {
		if k["kid"] != kid {
			kept = append(kept, k)
		}
	}
	i.public = kept
}

// Serve answers with body instead of the key set; "" ends that.
func (i *Issuer) Serve(body string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.body = body
}

// Hang makes answers wait until the function that it returns is called.
func (i *Issuer) Hang() (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	hang := make(chan struct{})
	i.hang = hang
	return sync.OnceFunc(func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.hang = nil
		close(hang)
	})
}

// PublicKey returns the key that signs now.
func (i *Issuer) PublicKey() *ecdsa.PublicKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return &i.key.PublicKey
}

// Claims returns those of a token that is good for audience, as the map that
// a test changes to make it a bad one.
func (i *Issuer) Claims(audience string) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"iss": i.Name, "sub": "user-1", "aud": audience,
		"exp": now.Add(15 * time.Minute).Unix(), "iat": now.Unix(), "jti": "jti-1",
		"client_id": "client-1", "scope": "stocks/read",
		"region": "USA", "client_type": "mcp", "client_assurance_level": 1,
	}
}

// With returns the claims for audience with some replaced; nil removes one.
func (i *Issuer) With(audience string, changes map[string]any) jwt.MapClaims {
	claims := i.Claims(audience)
	for name, value := range changes {
		if value == nil {
			delete(claims, name)
			continue
		}
		claims[name] = value
	}
	return claims
}

// Sign returns an access token with claims.
func (i *Issuer) Sign(claims jwt.Claims) string {
	return i.SignWithHeader(claims, nil)
}

// SignWithHeader is Sign with header parameters replaced; nil removes one.
func (i *Issuer) SignWithHeader(claims jwt.Claims, header map[string]any) string {
	i.t.Helper()
	i.mu.Lock()
	key, kid := i.key, i.kid
	i.mu.Unlock()
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["typ"], t.Header["kid"] = token.Type, kid
	for name, value := range header {
		if value == nil {
			delete(t.Header, name)
			continue
		}
		t.Header[name] = value
	}
	raw, err := t.SignedString(key)
	if err != nil {
		i.t.Fatal(err)
	}
	return raw
}

// SignRaw signs header and payload as they are, JSON or not.
func (i *Issuer) SignRaw(header, payload string) string {
	i.t.Helper()
	i.mu.Lock()
	key := i.key
	i.mu.Unlock()
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(payload))
	sig, err := jwt.SigningMethodES256.Sign(text, key)
	if err != nil {
		i.t.Fatal(err)
	}
	return text + "." + enc.EncodeToString(sig)
}
