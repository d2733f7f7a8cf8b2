// Package dpoptest is a DPoP client for the tests of whoever checks proofs.
package dpoptest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var b64 = base64.RawURLEncoding

// Key is the key pair of a client.
type Key struct {
	Alg     string
	Public  map[string]any // JWK
	Private crypto.Signer

	t testing.TB
}

// NewKey returns a new key for ES256.
func NewKey(t testing.TB) *Key { return NewKeyFor(t, "ES256") }

// NewKeyFor returns a new key for an algorithm; RSA keys have 2048 bits.
func NewKeyFor(t testing.TB, alg string) *Key {
	t.Helper()
	k := &Key{Alg: alg, t: t}
	switch alg {
	case "ES256":
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		k.must(err)
		point, err := private.PublicKey.Bytes()
		k.must(err)
		k.Private = private
		k.Public = map[string]any{"kty": "EC", "crv": "P-256", "x": b64.EncodeToString(point[1:33]), "y": b64.EncodeToString(point[33:])}
	case "EdDSA":
		public, private, err := ed25519.GenerateKey(rand.Reader)
		k.must(err)
		k.Private, k.Public = private, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64.EncodeToString(public)}
	default:
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		k.must(err)
		k.Private, k.Public = private, RSAKey(&private.PublicKey)
	}
	return k
}

// RSAKey returns a key as a JWK.
func RSAKey(key *rsa.PublicKey) map[string]any {
	return map[string]any{"kty": "RSA", "n": b64.EncodeToString(key.N.Bytes()), "e": b64.EncodeToString(big.NewInt(int64(key.E)).Bytes())}
}

func (k *Key) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// Thumbprint returns the jkt of the key (RFC 7638). JSON of a map has its
// members in the order that the RFC wants.
func (k *Key) Thumbprint() string {
	canonical, err := json.Marshal(k.Public)
	k.must(err)
	sum := sha256.Sum256(canonical)
	return b64.EncodeToString(sum[:])
}

// HashOf returns the ath of an access token.
func HashOf(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return b64.EncodeToString(sum[:])
}

// Proof returns a new proof for a request, with some claims replaced; nil
// removes one.
func (k *Key) Proof(method, url string, claims map[string]any) string {
	k.t.Helper()
	return k.Sign(nil, With(map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix()}, claims))
}

// Sign returns a proof with these claims and some parameters of its header
// replaced; nil removes one.
func (k *Key) Sign(header, claims map[string]any) string {
	k.t.Helper()
	t := jwt.NewWithClaims(jwt.GetSigningMethod(k.Alg), jwt.MapClaims(claims))
	t.Header = With(map[string]any{"alg": k.Alg, "typ": "dpop+jwt", "jwk": k.Public}, header)
	raw, err := t.SignedString(k.Private)
	k.must(err)
	return raw
}

// SignRaw signs header and claims as they are, JSON or not.
func (k *Key) SignRaw(header, claims string) string {
	k.t.Helper()
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(claims))
	sig, err := jwt.GetSigningMethod(k.Alg).Sign(text, k.Private)
	k.must(err)
	return text + "." + b64.EncodeToString(sig)
}

// With returns a map with some members replaced; nil removes one.
func With(base, changes map[string]any) map[string]any {
	out := maps.Clone(base)
	for name, value := range changes {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

// Transport adds a proof to every request, and to one that carries a token of
// type DPoP the token's hash. It repeats a request once when the server wants
// another nonce (RFC 9449 §8 and §9), as every client must.
type Transport struct {
	Key  *Key
	Base http.RoundTripper

	mu     sync.Mutex
	nonces map[string]string // newest of each server
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	resp, sent, err := t.try(r, body)
	refused := err == nil && (resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusUnauthorized)
	if refused && t.nonce(r) != sent {
		resp.Body.Close()
		resp, _, err = t.try(r, body)
	}
	return resp, err
}

// try sends the request with a new proof and returns the nonce that it had.
func (t *Transport) try(r *http.Request, body []byte) (resp *http.Response, nonce string, err error) {
	nonce = t.nonce(r)
	claims := map[string]any{}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if token, bound := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP "); bound {
		claims["ath"] = HashOf(token)
	}
	url := *r.URL
	url.RawQuery, url.Fragment = "", ""
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Set("DPoP", t.Key.Proof(r.Method, url.String(), claims))
	resp, err = t.Base.RoundTrip(r)
	if err != nil {
		return nil, nonce, err
	}
	if next := resp.Header.Get("DPoP-Nonce"); next != "" {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.nonces == nil {
			t.nonces = map[string]string{}
		}
		t.nonces[r.URL.Host] = next
	}
	return resp, nonce, nil
}

func (t *Transport) nonce(r *http.Request) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nonces[r.URL.Host]
}
