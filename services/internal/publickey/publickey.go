// Package publickey turns JSON Web Keys that strangers send (RFC 7517) into public
// keys. Each key has one spelling here: base64url without padding, coordinates
// at full length, numbers without leading zeros.
package publickey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// Algorithms are those that the keys are good for (RFC 7518 §3.1, RFC 8037
// §3.1).
var Algorithms = []string{"ES256", "EdDSA", "RS256", "PS256"}

// What an RSA key may be. The lower bounds are RFC 7518 §3.3 and NIST SP
// 800-56B; the upper ones bound the work of checking a stranger's signature.
const (
	MinRSA, maxRSA           = 2048, 4096 // bits
	MinExponent, maxExponent = 1<<16 + 1, 1<<31 - 1
)

// SecretMembers only private and symmetric keys have (RFC 7518 §6.2.2, §6.3.2
// and §6.4). Whoever sends one does not know what it does.
var SecretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// Key is what makes a public key. Members of other kinds of key are empty.
type Key struct {
	Type, Curve string // kty, crv
	X, Y        string
	N, E        string
}

// Algorithms returns what a kind of key can verify: none passes for a key of
// another algorithm (RFC 8725 §3.1). nil is a kind that is not known.
func (k Key) Algorithms() []string {
	switch {
	case k.Type == "EC" && k.Curve == "P-256":
		return []string{"ES256"}
	case k.Type == "OKP" && k.Curve == "Ed25519":
		return []string{"EdDSA"}
	case k.Type == "RSA":
		return []string{"RS256", "PS256"}
	}
	return nil
}

// Public returns the key itself, or says what is wrong with it.
func (k Key) Public() (crypto.PublicKey, error) {
	switch k.Type {
	case "EC":
		x, y := decode(k.X), decode(k.Y)
		if len(x) != 32 || len(y) != 32 { // full length (RFC 7518 §6.2.1.2)
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
		x := decode(k.X)
		if len(x) != ed25519.PublicKeySize {
			return nil, errors.New("x must be 32 bytes in base64url")
		}
		return ed25519.PublicKey(x), nil
	default:
		return k.rsa()
	}
}

func (k Key) rsa() (crypto.PublicKey, error) {
	n, e := decode(k.N), decode(k.E)
	if len(n) == 0 || len(e) == 0 || n[0] == 0 || e[0] == 0 { // as few bytes as possible (RFC 7518 §6.3.1)
		return nil, errors.New("n and e must be in base64url, without leading zeros")
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	switch {
	case modulus.BitLen() < MinRSA || modulus.BitLen() > maxRSA || modulus.Bit(0) == 0:
		return nil, fmt.Errorf("an RSA key must have %d to %d bits", MinRSA, maxRSA)
	case !exponent.IsInt64() || exponent.Int64() < MinExponent || exponent.Int64() > maxExponent || exponent.Bit(0) == 0:
		return nil, fmt.Errorf("e must be odd and at least %d", MinExponent)
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

// decode returns the bytes of a member, or nil where it is not base64url.
func decode(text string) []byte {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || base64.RawURLEncoding.EncodeToString(b) != text { // the decoder skips line breaks
		return nil
	}
	return b
}
