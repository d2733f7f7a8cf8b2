package clients

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"demo.example/services/authserver/store"
)

// Algorithms are what a client may sign its assertions with (RFC 7518 §3.1,
// RFC 8037 §3.1). A key is good for those of its own type alone, so that none
// passes for a key of another algorithm.
var Algorithms = []string{"ES256", "EdDSA", "RS256", "PS256"}

// Limits on a client's key set. Verifying with a key costs time that a
// stranger decides about.
const (
	maxJWKS = 8 << 10 // bytes
	maxKeys = 5
	minRSA  = 2048 // bits (RFC 7518 §3.3)
	maxRSA  = 4096
	minRSAe = 1<<16 + 1
	maxRSAe = 1<<31 - 1
)

// jwk is a public key as it is registered (RFC 7517 §4). What else a client
// wrote into it is not kept: certificates and addresses of keys in particular.
type jwk struct {
	Type  string   `json:"kty"`
	Curve string   `json:"crv,omitempty"`
	X     string   `json:"x,omitempty"`
	Y     string   `json:"y,omitempty"`
	N     string   `json:"n,omitempty"`
	E     string   `json:"e,omitempty"`
	ID    string   `json:"kid,omitempty"`
	Use   string   `json:"use,omitempty"`
	Ops   []string `json:"key_ops,omitempty"`
	Alg   string   `json:"alg,omitempty"`

	// Members of private and of symmetric keys, looked for to be refused.
	D json.RawMessage `json:"d,omitempty"`
	K json.RawMessage `json:"k,omitempty"`
}

// publicKey is a key of a client, ready to verify with.
type publicKey struct {
	jwk
	key        crypto.PublicKey
	algorithms []string // that it is good for
}

type keySet struct {
	Keys []jwk `json:"keys"`
}

// registerKeys reads the keys that a client registers for private_key_jwt and
// sets what follows from them: a client that proves a key is trusted as one.
// For every other method it does nothing. Its errors are for the client.
func registerKeys(c *store.Client, jwks json.RawMessage, jwksURI, alg string) error {
	if c.AuthMethod != AuthPrivateKey {
		return nil
	}
	switch {
	case jwksURI != "":
		return errors.New("jwks_uri: this server fetches no keys; send the key set itself as jwks")
	case len(jwks) == 0:
		return errors.New("token_endpoint_auth_method: the method private_key_jwt needs the client's public keys; send them as jwks")
	case alg != "" && !slices.Contains(Algorithms, alg):
		return errors.New("token_endpoint_auth_signing_alg: use one of " + strings.Join(Algorithms, ", "))
	}
	keys, err := parseKeys(jwks)
	if err != nil {
		return fmt.Errorf("jwks: %w", err)
	}
	if alg != "" && len(fitting(keys, alg, "")) == 0 {
		return errors.New("jwks: no key is good for token_endpoint_auth_signing_alg " + alg)
	}
	var kept keySet
	for _, k := range keys {
		kept.Keys = append(kept.Keys, k.jwk)
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("jwks: %w", err)
	}
	c.JWKS, c.SigningAlg = string(raw), alg
	return nil
}

// parseKeys returns the keys of a key set that can verify an assertion. It
// passes over those of other kinds, as RFC 7517 §5 asks. A set without any is
// an error, and so is a key that is weak, broken or not public.
func parseKeys(raw []byte) ([]publicKey, error) {
	if len(raw) > maxJWKS {
		return nil, fmt.Errorf("at most %d bytes", maxJWKS)
	}
	var set keySet
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, errors.New(`send a JSON Web Key Set, {"keys":[…]} (RFC 7517 §5)`)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("at most %d keys", maxKeys)
	}
	var keys []publicKey
	for i, k := range set.Keys {
		if k.D != nil || k.K != nil {
			return nil, fmt.Errorf("key %d is private or symmetric and is known to others now; make a new pair and send its public half", i+1)
		}
		algorithms := k.algorithms()
		if len(algorithms) == 0 {
			continue
		}
		key, err := k.public()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if k.ID != "" && slices.ContainsFunc(keys, func(other publicKey) bool { return other.ID == k.ID }) {
			return nil, fmt.Errorf("key %d has the kid of another", i+1)
		}
		keys = append(keys, publicKey{k, key, algorithms})
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no public signing key for " + strings.Join(Algorithms, ", "))
	}
	return keys, nil
}

// algorithms returns what a key may be used for: what its type can do, less
// what its use, key_ops and alg rule out (RFC 7517 §4.2 to §4.4).
func (k jwk) algorithms() []string {
	if k.Use != "" && k.Use != "sig" || len(k.Ops) > 0 && !slices.Contains(k.Ops, "verify") {
		return nil
	}
	var can []string
	switch {
	case k.Type == "EC" && k.Curve == "P-256":
		can = []string{"ES256"}
	case k.Type == "OKP" && k.Curve == "Ed25519":
		can = []string{"EdDSA"}
	case k.Type == "RSA":
		can = []string{"RS256", "PS256"}
	}
	if k.Alg != "" {
		return known(can, []string{k.Alg})
	}
	return can
}

// public returns the key itself.
func (k jwk) public() (crypto.PublicKey, error) {
	b64 := base64.RawURLEncoding.Strict()
	switch k.Type {
	case "EC": // RFC 7518 §6.2.1: both coordinates at full length
		x, errX := b64.DecodeString(k.X)
		y, errY := b64.DecodeString(k.Y)
		if errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
			return nil, errors.New("x and y must be 32 bytes each, in base64url")
		}
		// 4 marks an uncompressed point (SEC 1 §2.3.3). Parsing proves that it
		// is on the curve.
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil {
			return nil, errors.New("x and y are no point of P-256")
		}
		return key, nil
	case "OKP": // RFC 8037 §2
		x, err := b64.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, errors.New("x must be 32 bytes in base64url")
		}
		return ed25519.PublicKey(x), nil
	default: // RSA (RFC 7518 §6.3.1)
		n, errN := b64.DecodeString(k.N)
		e, errE := b64.DecodeString(k.E)
		modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
		switch {
		case errN != nil || errE != nil:
			return nil, errors.New("n and e must be in base64url")
		case modulus.BitLen() < minRSA || modulus.BitLen() > maxRSA || modulus.Bit(0) == 0:
			return nil, fmt.Errorf("an RSA key must have %d to %d bits", minRSA, maxRSA)
		case !exponent.IsInt64() || exponent.Int64() < minRSAe || exponent.Int64() > maxRSAe || exponent.Bit(0) == 0:
			return nil, fmt.Errorf("e must be odd and at least %d", minRSAe)
		}
		return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
	}
}

// fitting returns the keys that a signature by alg may be verified with. A
// kid narrows the choice (RFC 7515 §4.1.4); a key without one may be any.
func fitting(keys []publicKey, alg, kid string) []crypto.PublicKey {
	var out []crypto.PublicKey
	for _, k := range keys {
		if slices.Contains(k.algorithms, alg) && (kid == "" || k.ID == "" || k.ID == kid) {
			out = append(out, k.key)
		}
	}
	return out
}
