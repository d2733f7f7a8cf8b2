package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
)

// What an RSA key may be. The lower bounds are RFC 7518 §3.3 and NIST SP
// 800-56B; the upper ones bound the work of checking a stranger's signature.
const (
	minRSA, maxRSA           = 2048, 4096 // bits
	minExponent, maxExponent = 1<<16 + 1, 1<<31 - 1
)

// secretMembers only private and symmetric keys have (RFC 7518 §6.2.2, §6.3.2
// and §6.4). Whoever sends one does not know what it does.
var secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// publicKey returns the key of a JWK that is good for alg, and its thumbprint
// (RFC 7638). Each key has one spelling here, and so one thumbprint.
func publicKey(jwk map[string]any, alg string) (crypto.PublicKey, string, error) {
	for _, name := range secretMembers {
		if _, there := jwk[name]; there {
			return nil, "", errors.New("jwk holds a private key, which is known to others now; make a new one and send its public half")
		}
	}
	kty, _ := jwk["kty"].(string)
	crv, _ := jwk["crv"].(string)
	switch {
	case alg == "ES256" && kty == "EC" && crv == "P-256":
		return ecKey(jwk)
	case alg == "EdDSA" && kty == "OKP" && crv == "Ed25519":
		return edKey(jwk)
	case (alg == "RS256" || alg == "PS256") && kty == "RSA":
		return rsaKey(jwk)
	}
	return nil, "", errors.New("jwk is not a key for alg; EC keys are on P-256, OKP keys on Ed25519")
}

func ecKey(jwk map[string]any) (crypto.PublicKey, string, error) {
	x, y := member(jwk, "x"), member(jwk, "y")
	if len(x) != 32 || len(y) != 32 { // full length (RFC 7518 §6.2.1.2)
		return nil, "", errors.New("jwk: x and y must be 32 bytes each, in base64url")
	}
	// 4 marks an uncompressed point (SEC 1 §2.3.3). Parsing proves that it is
	// on the curve.
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return nil, "", errors.New("jwk: x and y are no point of P-256")
	}
	return key, thumbprint(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, jwk["x"], jwk["y"]), nil
}

func edKey(jwk map[string]any) (crypto.PublicKey, string, error) {
	x := member(jwk, "x")
	if len(x) != ed25519.PublicKeySize {
		return nil, "", errors.New("jwk: x must be 32 bytes in base64url")
	}
	return ed25519.PublicKey(x), thumbprint(`{"crv":"Ed25519","kty":"OKP","x":%q}`, jwk["x"]), nil // RFC 8037 §2
}

func rsaKey(jwk map[string]any) (crypto.PublicKey, string, error) {
	n, e := member(jwk, "n"), member(jwk, "e")
	if len(n) == 0 || len(e) == 0 || n[0] == 0 || e[0] == 0 { // as few bytes as possible (RFC 7518 §6.3.1)
		return nil, "", errors.New("jwk: n and e must be in base64url, without leading zeros")
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	switch {
	case modulus.BitLen() < minRSA || modulus.BitLen() > maxRSA || modulus.Bit(0) == 0:
		return nil, "", fmt.Errorf("jwk: an RSA key must have %d to %d bits", minRSA, maxRSA)
	case !exponent.IsInt64() || exponent.Int64() < minExponent || exponent.Int64() > maxExponent || exponent.Bit(0) == 0:
		return nil, "", fmt.Errorf("jwk: e must be odd and at least %d", minExponent)
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, thumbprint(`{"e":%q,"kty":"RSA","n":%q}`, jwk["e"], jwk["n"]), nil
}

// member returns the bytes of a member, or nil where it is not base64url.
func member(jwk map[string]any, name string) []byte {
	text, _ := jwk[name].(string)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || base64.RawURLEncoding.EncodeToString(b) != text { // the decoder skips line breaks
		return nil
	}
	return b
}

// thumbprint hashes the required members of a key, in order and without
// spaces (RFC 7638 §3). The values are base64url: nothing in them is escaped.
func thumbprint(format string, values ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, format, values...))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
