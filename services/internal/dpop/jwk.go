package dpop

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"demo.example/services/internal/publickey"
)

// publicKey returns the key of a JWK that is good for alg, and its thumbprint
// (RFC 7638). Each key has one spelling here, and so one thumbprint.
func publicKey(jwk map[string]any, alg string) (crypto.PublicKey, string, error) {
	for _, name := range publickey.SecretMembers {
		if _, there := jwk[name]; there {
			return nil, "", errors.New("jwk holds a private key, which is known to others now; make a new one and send its public half")
		}
	}
	text := func(name string) string { s, _ := jwk[name].(string); return s }
	k := publickey.Key{Type: text("kty"), Curve: text("crv"), X: text("x"), Y: text("y"), N: text("n"), E: text("e")}
	if !slices.Contains(k.Algorithms(), alg) {
		return nil, "", errors.New("jwk is not a key for alg; EC keys are on P-256, OKP keys on Ed25519")
	}
	key, err := k.Public()
	if err != nil {
		return nil, "", fmt.Errorf("jwk: %w", err)
	}
	return key, thumbprint(k), nil
}

// thumbprint hashes the required members of a key, in order and without
// spaces (RFC 7638 §3). The values are base64url: nothing in them is escaped.
func thumbprint(k publickey.Key) string {
	var members string
	switch k.Type {
	case "EC":
		members = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, k.Curve, k.X, k.Y)
	case "OKP":
		members = fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, k.Curve, k.X)
	default:
		members = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, k.E, k.N)
	}
	sum := sha256.Sum256([]byte(members))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
