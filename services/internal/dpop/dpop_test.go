package dpop

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/internal/dpop/dpoptest"
	"demo.example/services/internal/oauth"
)

const (
	testURL   = "https://api.demo.localhost:8443/stocks/ACME"
	testToken = "opaque"
)

// clock is a time that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *clock) wait(d time.Duration) { c.offset.Add(int64(d)) }

func newTestChecker() (*Checker, *clock) {
	c := new(clock)
	return NewChecker([]byte("key of the nonces"), c.now), c
}

func headerOf(proofs ...string) http.Header { return http.Header{"Dpop": proofs} }

func codeOf(err error) string {
	var e *oauth.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func TestCheckAccepts(t *testing.T) {
	for _, alg := range Algorithms {
		t.Run(alg, func(t *testing.T) {
			c, _ := newTestChecker()
			key := dpoptest.NewKeyFor(t, alg)
			proof := key.Proof("GET", testURL, map[string]any{"nonce": c.Nonce(), "ath": dpoptest.HashOf(testToken)})
			got, err := c.Check(headerOf(proof), Request{Method: "GET", URL: testURL, AccessToken: testToken, Key: key.Thumbprint()})
			if err != nil || got != key.Thumbprint() {
				t.Errorf("got %q, %v; want %q", got, err, key.Thumbprint())
			}
		})
	}
	t.Run("what else a client may write", func(t *testing.T) {
		c, _ := newTestChecker()
		key := dpoptest.NewKey(t)
		jwk := dpoptest.With(key.Public, map[string]any{"kid": "mine", "use": "sig"})
		proof := key.Sign(map[string]any{"kid": "mine", "jwk": jwk}, map[string]any{
			"jti": "1", "htm": "POST", "htu": "HTTPS://Login.demo.localhost/x/../%74oken?a=b#c", "iat": float64(time.Now().Unix()) + 0.5, "nonce": c.Nonce(), "iss": "me",
		})
		if _, err := c.Check(headerOf(proof), Request{Method: "POST", URL: "https://login.demo.localhost:443/token"}); err != nil {
			t.Error(err)
		}
	})
	t.Run("RFC 7638 §3.1: the thumbprint of the example key", func(t *testing.T) {
		_, got, err := publicKey(map[string]any{"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
			"n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
				"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
				"SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}, "RS256")
		if want := "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	})
}

func TestCheckRefuses(t *testing.T) {
	c, _ := newTestChecker()
	key, rsaKey := dpoptest.NewKey(t), dpoptest.NewKeyFor(t, "RS256")
	now := time.Now().Unix()
	good := map[string]any{"jti": "1", "htm": "GET", "htu": testURL, "iat": now, "nonce": c.Nonce(), "ath": dpoptest.HashOf(testToken)}
	claims := func(name string, value any) []string {
		return []string{key.Sign(nil, dpoptest.With(good, map[string]any{name: value}))}
	}
	header := func(name string, value any) []string {
		return []string{key.Sign(map[string]any{name: value}, good)}
	}
	jwk := func(k *dpoptest.Key, changes map[string]any) []string {
		return []string{k.Sign(map[string]any{"jwk": dpoptest.With(k.Public, changes)}, good)}
	}
	proof := key.Sign(nil, good)
	parts := strings.Split(proof, ".")
	rawHeader, rawClaims := decode(parts[0]), decode(parts[1])

	tests := map[string]struct {
		proofs []string
		code   string
	}{
		"no proof":                  {nil, InvalidProof},
		"empty":                     {[]string{""}, InvalidProof},
		"two headers":               {[]string{proof, proof}, InvalidProof},
		"two in one header":         {[]string{proof + ", " + proof}, InvalidProof},
		"not a JWT":                 {[]string{"a.b"}, InvalidProof},
		"too long":                  {claims("x", strings.Repeat("x", maxProof)), InvalidProof},
		"padding in base64":         {[]string{parts[0] + "=." + parts[1] + "." + parts[2]}, InvalidProof},
		"loose last bits":           {[]string{proof[:len(proof)-1] + nextChar(proof)}, InvalidProof},
		"line break in it":          {[]string{parts[0] + ".\n" + parts[1] + "." + parts[2]}, InvalidProof},
		"a claim twice":             {[]string{key.SignRaw(rawHeader, strings.Replace(rawClaims, "{", `{"htm":"POST",`, 1))}, InvalidProof},
		"a header parameter twice":  {[]string{key.SignRaw(strings.Replace(rawHeader, "{", `{"typ":"JWT",`, 1), rawClaims)}, InvalidProof},
		"a member of the key twice": {[]string{key.SignRaw(strings.Replace(rawHeader, `"kty"`, `"kty":"RSA","kty"`, 1), rawClaims)}, InvalidProof},
		"claims in capitals":        {[]string{key.SignRaw(rawHeader, strings.Replace(rawClaims, `"htm"`, `"HTM"`, 1))}, InvalidProof},
		"claims that are no object": {[]string{key.SignRaw(rawHeader, `[]`)}, InvalidProof},
		"other signature":           {[]string{parts[0] + "." + parts[1] + "." + strings.Split(dpoptest.NewKey(t).Sign(nil, good), ".")[2]}, InvalidProof},
		"claims changed":            {[]string{parts[0] + "." + encode(strings.Replace(rawClaims, `"1"`, `"2"`, 1)) + "." + parts[2]}, InvalidProof},
		"alg none":                  {[]string{encode(strings.Replace(rawHeader, "ES256", "none", 1)) + "." + parts[1] + "."}, InvalidProof},
		"alg HS256 with the key":    {[]string{hmacProof(key, good)}, InvalidProof},
		"alg of another key type":   {header("jwk", rsaKey.Public), InvalidProof},
		"typ JWT":                   {header("typ", "JWT"), InvalidProof},
		"typ at+jwt":                {header("typ", "at+jwt"), InvalidProof},
		"no typ":                    {header("typ", nil), InvalidProof},
		"crit":                      {header("crit", []string{"b64"}), InvalidProof},
		"no jwk":                    {header("jwk", nil), InvalidProof},
		"jwk is a text":             {header("jwk", "key"), InvalidProof},
		"jwk of somebody else":      {header("jwk", dpoptest.NewKey(t).Public), InvalidProof},
		"jwk is private":            {jwk(key, map[string]any{"d": "AAAA"}), InvalidProof},
		"jwk by address":            {[]string{key.Sign(map[string]any{"jwk": nil, "jku": "https://evil.example/jwks"}, good)}, InvalidProof},
		"no jti":                    {claims("jti", nil), InvalidProof},
		"jti is a number":           {claims("jti", 1), InvalidProof},
		"jti too long":              {claims("jti", strings.Repeat("j", maxID+1)), InvalidProof},
		"no htm":                    {claims("htm", nil), InvalidProof},
		"htm of another method":     {claims("htm", "POST"), InvalidProof},
		"htm in lower case":         {claims("htm", "get"), InvalidProof},
		"no htu":                    {claims("htu", nil), InvalidProof},
		"htu of another host":       {claims("htu", "https://mcp.demo.localhost:8443/stocks/ACME"), InvalidProof},
		"htu of another path":       {claims("htu", testURL+"/"), InvalidProof},
		"htu of another port":       {claims("htu", "https://api.demo.localhost/stocks/ACME"), InvalidProof},
		"htu without TLS":           {claims("htu", strings.Replace(testURL, "https", "http", 1)), InvalidProof},
		"htu with a user":           {claims("htu", strings.Replace(testURL, "//", "//u@", 1)), InvalidProof},
		"htu is a path":             {claims("htu", "/stocks/ACME"), InvalidProof},
		"no iat":                    {claims("iat", nil), InvalidProof},
		"iat is a text":             {claims("iat", fmt.Sprint(now)), InvalidProof},
		"iat is old":                {claims("iat", now-62), InvalidProof},
		"iat is far ahead":          {claims("iat", now+62), InvalidProof},
		"iat overflows":             {claims("iat", 1e300), InvalidProof},
		"exp is past":               {claims("exp", now-62), InvalidProof},
		"nbf is to come":            {claims("nbf", now+62), InvalidProof},
		"no ath":                    {claims("ath", nil), InvalidProof},
		"ath of another token":      {claims("ath", dpoptest.HashOf("other")), InvalidProof},
		"ath is a number":           {claims("ath", 1), InvalidProof},
		"no nonce":                  {claims("nonce", nil), UseNonce},
		"nonce is made up":          {claims("nonce", "bWFkZSB1cA"), UseNonce},
		"nonce is a number":         {claims("nonce", 1), InvalidProof},
		"another key":               {[]string{dpoptest.NewKey(t).Sign(nil, good)}, InvalidProof},
	}
	want := Request{Method: "GET", URL: testURL, AccessToken: testToken, Key: key.Thumbprint()}
	wantRSA := want
	wantRSA.Key = rsaKey.Thumbprint()
	for name, tt := range tests {
		t.Run("D-POP "+name, func(t *testing.T) {
			_, err := c.Check(headerOf(tt.proofs...), want)
			if got := codeOf(err); got != tt.code {
				t.Errorf("got %s, want %s", got, tt.code)
			}
			if !quotable.MatchString(err.Error()) {
				t.Errorf("this cannot go into a challenge: %s", err)
			}
		})
	}
	if _, err := c.Check(headerOf(proof), want); err != nil {
		t.Errorf("after all that the good proof is refused: %v", err)
	}
	if _, err := c.Check(headerOf(rsaKey.Sign(nil, good)), wantRSA); err != nil {
		t.Errorf("after all that the good RSA proof is refused: %v", err)
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// quotable is what an error_description may hold (RFC 6749 §5.2).
var quotable = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]*$`)

func encode(s string) string { return b64([]byte(s)) }

func decode(s string) string {
	b, _ := base64.RawURLEncoding.DecodeString(s)
	return string(b)
}

// nextChar returns the last character of a signature with an unused bit set.
func nextChar(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, s[len(s)-1])+1:][:1]
}

// hmacProof is signed with the public key as a shared secret.
func hmacProof(key *dpoptest.Key, claims map[string]any) string {
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims))
	t.Header["typ"], t.Header["jwk"] = "dpop+jwt", maps.Clone(key.Public)
	raw, err := t.SignedString([]byte(decode(key.Public["x"].(string))))
	if err != nil {
		panic(err)
	}
	return raw
}

func BenchmarkCheck(b *testing.B) {
	for _, alg := range Algorithms {
		b.Run(alg, func(b *testing.B) {
			key := dpoptest.NewKeyFor(b, alg)
			proof := headerOf(key.Proof("GET", testURL, map[string]any{"nonce": "stale"}))
			c, _ := newTestChecker()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Check(proof, Request{Method: "GET", URL: testURL}); codeOf(err) != UseNonce {
					b.Fatal(err)
				}
			}
		})
	}
}
