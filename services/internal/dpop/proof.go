package dpop

import (
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/internal/publickey"
	"demo.example/services/internal/token"
)

// Algorithms that a proof may be signed with: asymmetric ones, as RFC 9449 §4.3
// demands.
var Algorithms = publickey.Algorithms

// proofType is the JOSE typ of a proof. Checking it keeps every other JWT that
// a client signs, such as an assertion, from passing for one (RFC 8725 §3.11).
const proofType = "dpop+jwt"

// Limits of a proof. What it says is kept only as a hash; these bound the work
// that a hostile one causes.
const (
	maxProof = 8 << 10 // bytes
	maxID    = 256     // bytes
)

// proof is what a proof says, once its signature was checked.
type proof struct {
	Key       string // thumbprint of the key that signed it (RFC 7638)
	ID        string
	Method    string
	URL       string
	IssuedAt  float64 // seconds since 1970, perhaps with a fraction (RFC 7519 §2)
	TokenHash string  // of the access token; may be empty
	Nonce     string  // may be empty
}

// newParser returns what checks the signature, and exp and nbf, which a proof
// needs not have (RFC 7519 §4.1). The rest is for Check to judge.
func newParser(now func() time.Time) *jwt.Parser {
	return jwt.NewParser(jwt.WithValidMethods(Algorithms), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now), jwt.WithLeeway(Window))
}

// parse reads a proof and checks that the key in it signed it (RFC 9449 §4.2).
// Header and claims are read as maps, since decoding into a struct would take
// names in any case. Errors are for the client's developer.
func parse(parser *jwt.Parser, raw string) (proof, error) {
	if len(raw) > maxProof {
		return proof{}, fmt.Errorf("the proof is longer than %d bytes", maxProof)
	}
	if token.CheckForm(raw) != nil { // its reason may quote what was sent
		return proof{}, errors.New("the proof is not three parts of base64url without padding, or a name in its JSON is misspelled or there twice")
	}
	var p proof
	claims := jwt.MapClaims{}
	var refused error // the library's own errors tell a stranger about the library
	_, err := parser.ParseWithClaims(raw, claims, func(t *jwt.Token) (any, error) {
		var key crypto.PublicKey
		key, p.Key, refused = keyOf(t)
		return key, refused
	})
	if refused != nil {
		return proof{}, refused
	}
	if err != nil {
		return proof{}, errors.New("the proof is not a JWT signed with the key in its header, by one of the algorithms in the metadata, or it has expired")
	}
	for name, value := range map[string]*string{"jti": &p.ID, "htm": &p.Method, "htu": &p.URL} {
		if *value, _ = claims[name].(string); *value == "" {
			return proof{}, errors.New("jti, htm, htu and iat are required")
		}
	}
	for name, value := range map[string]*string{"ath": &p.TokenHash, "nonce": &p.Nonce} {
		text, isString := claims[name].(string)
		if _, there := claims[name]; there && !isString {
			return proof{}, fmt.Errorf("%s is not a string", name)
		}
		*value = text
	}
	var isNumber bool
	if p.IssuedAt, isNumber = claims["iat"].(float64); !isNumber {
		return proof{}, errors.New("jti, htm, htu and iat are required")
	}
	if len(p.ID) > maxID {
		return proof{}, fmt.Errorf("jti is longer than %d bytes", maxID)
	}
	return p, nil
}

// keyOf returns the key in the header of a proof.
func keyOf(t *jwt.Token) (crypto.PublicKey, string, error) {
	if t.Header["typ"] != proofType {
		return nil, "", errors.New("typ is not " + proofType)
	}
	if _, there := t.Header["crit"]; there {
		return nil, "", errors.New("crit names an extension that is not known here") // RFC 7515 §4.1.11
	}
	jwk, isObject := t.Header["jwk"].(map[string]any)
	if !isObject {
		return nil, "", errors.New("jwk is missing")
	}
	return publicKey(jwk, t.Method.Alg())
}
