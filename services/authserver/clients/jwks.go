package clients

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/publickey"
)

// Algorithms are what a client may sign its assertions with.
var Algorithms = publickey.Algorithms

// Limits on a client's key set. Verifying with a key costs time that a
// stranger decides about.
const (
	maxJWKS = 8 << 10 // bytes
	maxKeys = 5
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
		key, err := k.material().Public()
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
	can := k.material().Algorithms()
	if k.Alg != "" {
		return known(can, []string{k.Alg})
	}
	return can
}

// material is what makes the key.
func (k jwk) material() publickey.Key {
	return publickey.Key{Type: k.Type, Curve: k.Curve, X: k.X, Y: k.Y, N: k.N, E: k.E}
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
