package clients

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/publickey"
	"demo.example/services/internal/token"
)

// AssertionType says that a client assertion is a JWT (RFC 7523 §2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Limits of an assertion. A short life bounds how long its jti is kept, and
// what somebody can do with one that leaks before it is used.
const (
	maxAssertion     = 8 << 10 // bytes
	maxAssertionLife = 5 * time.Minute
)

// assertionStore remembers assertions until they expire.
type assertionStore interface {
	// AddAssertion returns store.ErrExists for one that was there before.
	AddAssertion(ctx context.Context, hash store.Hash, expires time.Time) error
}

// assertionParser checks the signature. The claims are checked below, one by
// one, so that the rules stand in one place.
var assertionParser = jwt.NewParser(jwt.WithValidMethods(Algorithms), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())

// authenticateByKey authenticates a client by a JWT that it signed
// (private_key_jwt: RFC 7523 §3, OpenID Connect Core §9). Unlike a secret, the
// key never leaves the client, and what it sends is good once, here, and for
// minutes.
func (r *Registry) authenticateByKey(ctx context.Context, cred Credentials) (store.Client, error) {
	if len(cred.Secret) > maxAssertion {
		return refuse("the assertion is too long")
	}
	if err := token.CheckForm(cred.Secret); err != nil {
		return refuse("the assertion: " + err.Error())
	}
	var (
		claims jwt.RegisteredClaims
		client store.Client
		outage error
	)
	_, err := assertionParser.ParseWithClaims(cred.Secret, &claims, func(t *jwt.Token) (any, error) {
		kid, err := checkAssertionHeader(t.Header)
		if err != nil {
			return nil, err
		}
		client, err = r.Find(ctx, claims.Subject)
		if err != nil && !errors.Is(err, ErrUnknown) {
			outage = err
			return nil, err
		}
		keys, err := assertionKeys(client, t.Method.Alg(), kid)
		return keys, err
	})
	switch {
	case outage != nil:
		return store.Client{}, outage
	case err != nil:
		return refuse("the assertion: " + err.Error())
	case client.AuthMethod != AuthPrivateKey:
		return refuse("private_key_jwt is not its registered method")
	case cred.ID != "" && cred.ID != claims.Subject: // RFC 7521 §4.2
		return refuse("client_id is not the assertion's sub")
	}
	if err := r.checkAssertion(claims); err != nil {
		return refuse("the assertion: " + err.Error())
	}
	// Last, so that only what the client itself signed is remembered.
	err = r.Assertions.AddAssertion(ctx, store.HashOf(client.ID+"\x00"+claims.ID), claims.ExpiresAt.Time)
	if errors.Is(err, store.ErrExists) {
		return refuse("the assertion was used before")
	}
	if err != nil {
		return store.Client{}, fmt.Errorf("remember client assertion: %w", err)
	}
	return client, nil
}

// checkAssertionHeader returns the kid, if there is one. What brings a key
// along (jwk, jku, x5c, x5u) or changes what is signed (crit, b64, zip) is
// refused with everything else that this server has no use for: the only keys
// that count are the registered ones.
func checkAssertionHeader(header map[string]any) (kid string, err error) {
	for name, value := range header {
		text, ok := value.(string)
		switch {
		case name != "alg" && name != "typ" && name != "kid":
			return "", errors.New("the header has more than alg, typ and kid")
		case !ok:
			return "", fmt.Errorf("%s is not a string", name)
		case name == "typ" && !strings.EqualFold(text, "JWT"): // an access token is none
			return "", errors.New("typ is not JWT")
		case name == "kid":
			kid = text
		}
	}
	return kid, nil
}

// assertionKeys returns the keys with which an assertion of the client may be
// verified.
func assertionKeys(c store.Client, alg, kid string) (jwt.VerificationKeySet, error) {
	var set jwt.VerificationKeySet
	if c.AuthMethod == AuthPrivateKey && (c.SigningAlg == "" || c.SigningAlg == alg) {
		keys, err := parseKeys([]byte(c.JWKS))
		if err != nil {
			return set, fmt.Errorf("registered keys: %w", err)
		}
		for _, key := range fitting(keys, alg, kid) {
			set.Keys = append(set.Keys, key)
		}
	}
	if len(set.Keys) == 0 {
		set.Keys = []jwt.VerificationKey{decoys()[alg]}
	}
	return set, nil
}

// decoys are keys that nobody has, one an algorithm. An assertion of a client
// that does not exist, or has no such key, is verified with one and so fails
// after the time that a wrong signature takes.
var decoys = sync.OnceValue(func() map[string]crypto.PublicKey {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the system's randomness does not fail
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	n := make([]byte, publickey.MinRSA/8) // a number of the right size, whose factors nobody looked for
	rand.Read(n)
	n[0], n[len(n)-1] = n[0]|0x80, n[len(n)-1]|1
	modulus := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: publickey.MinExponent}
	return map[string]crypto.PublicKey{"ES256": &ec.PublicKey, "EdDSA": ed, "RS256": modulus, "PS256": modulus}
})

// checkAssertion checks the claims of an assertion (RFC 7523 §3). Clocks may
// differ by token.Leeway where that costs nothing; what has expired has.
func (r *Registry) checkAssertion(c jwt.RegisteredClaims) error {
	now := r.Now()
	foreign := func(audience string) bool { return !slices.Contains(r.Audiences, audience) }
	switch {
	case c.Subject == "" || c.Issuer != c.Subject:
		return errors.New("iss and sub must both be the client id")
	case len(c.Audience) == 0 || slices.ContainsFunc(c.Audience, foreign):
		// An audience that is somebody else's too could be replayed there, or
		// from there.
		return errors.New("aud must be " + strings.Join(r.Audiences, " or "))
	case c.ExpiresAt == nil || !now.Before(c.ExpiresAt.Time):
		return errors.New("exp is missing or past")
	case c.ExpiresAt.Sub(now) > maxAssertionLife+token.Leeway:
		return fmt.Errorf("exp is more than %s ahead", maxAssertionLife)
	case c.IssuedAt != nil && c.IssuedAt.Sub(now) > token.Leeway, c.NotBefore != nil && c.NotBefore.Sub(now) > token.Leeway:
		return errors.New("iat or nbf is in the future")
	case c.ID == "":
		return errors.New("jti is missing")
	}
	return nil
}
