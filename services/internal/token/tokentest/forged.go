package tokentest

import (
	"crypto/x509"
	"encoding/base64"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/internal/token"
)

// Forged returns tokens that nobody may accept for audience, by what is wrong
// with them. Each is but one step from a good one. Where docs/security.md
// has the attack, its id comes first. Some have headers that point to lure: a
// verifier that follows one asks there.
func (i *Issuer) Forged(audience, lure string) map[string]string {
	other := New(i.t, "https://login.evil.example") // has a key-1 of its own
	now := time.Now()
	claims := func(changes map[string]any) string { return i.Sign(i.With(audience, changes)) }
	header := func(changes map[string]any) string { return i.SignWithHeader(i.Claims(audience), changes) }
	good := claims(nil)
	parts := strings.Split(good, ".")
	enc := base64.RawURLEncoding.EncodeToString
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1]) // encoded a moment ago
	raw := func(payload string) string {
		return i.SignRaw(`{"alg":"ES256","typ":"at+jwt","kid":"key-1"}`, payload)
	}
	with := func(member string) string { return raw(strings.Replace(string(payload), "{", "{"+member+",", 1)) }

	return map[string]string{
		"J1 alg none":                 enc([]byte(`{"alg":"none","typ":"at+jwt","kid":"key-1"}`)) + "." + parts[1] + ".",
		"J1 alg None":                 enc([]byte(`{"alg":"None","typ":"at+jwt","kid":"key-1"}`)) + "." + parts[1] + "." + parts[2],
		"J1 empty signature":          parts[0] + "." + parts[1] + ".",
		"J1 HS256 with public key":    i.hmac(audience),
		"J1 alg missing":              i.SignRaw(`{"typ":"at+jwt","kid":"key-1"}`, string(payload)),
		"J1 signature of another":     parts[0] + "." + parts[1] + "." + strings.Split(other.Sign(other.Claims(audience)), ".")[2],
		"J1 payload changed":          parts[0] + "." + enc([]byte(strings.Replace(string(payload), "USA", "EUR", 1))) + "." + parts[2],
		"J2 kid missing":              header(map[string]any{"kid": nil}),
		"J2 kid empty":                header(map[string]any{"kid": ""}),
		"J2 kid a number":             header(map[string]any{"kid": 1}),
		"J2 kid traversal":            header(map[string]any{"kid": "../../../../dev/null"}),
		"J2 kid SQL":                  header(map[string]any{"kid": "key-1' UNION SELECT 'x"}),
		"J2 kid URL":                  header(map[string]any{"kid": lure}),
		"J2 jku":                      header(map[string]any{"jku": lure}),
		"J2 x5u":                      header(map[string]any{"x5u": lure}),
		"J2 jwk":                      header(map[string]any{"jwk": map[string]any{"kty": "EC"}}),
		"J2 x5c":                      header(map[string]any{"x5c": []string{"MIIB"}}),
		"J2 crit unknown":             header(map[string]any{"crit": []string{"exp"}}),
		"J2 b64 false":                header(map[string]any{"b64": false, "crit": []string{"b64"}}),
		"J2 b64 false without crit":   header(map[string]any{"b64": false}),
		"J3 typ JWT":                  header(map[string]any{"typ": "JWT"}),
		"J3 typ missing":              header(map[string]any{"typ": nil}),
		"J3 typ of a logout token":    header(map[string]any{"typ": "logout+jwt"}),
		"J3 ID token":                 i.SignWithHeader(i.With(audience, map[string]any{"nonce": "n", "jti": nil, "client_id": nil}), map[string]any{"typ": "JWT"}),
		"J3 nested":                   i.SignRaw(`{"alg":"ES256","typ":"at+jwt","kid":"key-1","cty":"JWT"}`, good),
		"J3 JWE":                      enc([]byte(`{"alg":"dir","enc":"A256GCM","typ":"at+jwt"}`)) + "..AAAA.AAAA.AAAA",
		"J4 issuer":                   claims(map[string]any{"iss": "https://login.evil.example"}),
		"J4 issuer with slash":        claims(map[string]any{"iss": i.Name + "/"}),
		"J4 issuer in upper case":     claims(map[string]any{"iss": strings.ToUpper(i.Name)}),
		"J4 issuer missing":           claims(map[string]any{"iss": nil}),
		"J4 issuer an array":          claims(map[string]any{"iss": []string{i.Name}}),
		"J4 kid of another issuer":    other.Sign(other.With(audience, map[string]any{"iss": i.Name})),
		"J5 expired":                  claims(map[string]any{"iat": now.Add(-time.Hour).Unix(), "exp": now.Add(-token.Leeway - 5*time.Second).Unix()}),
		"J5 exp missing":              claims(map[string]any{"exp": nil}),
		"J5 exp null":                 raw(strings.Replace(string(payload), `"exp":`, `"exp":null,"x":`, 1)),
		"J5 exp 9e99":                 claims(map[string]any{"exp": 9e99}),
		"J5 exp -9e99":                claims(map[string]any{"exp": -9e99}),
		"J5 exp and iat 9e99":         claims(map[string]any{"exp": 9e99, "iat": 9e99}),
		"J5 exp in a year":            claims(map[string]any{"exp": now.AddDate(1, 0, 0).Unix()}),
		"J5 exp not a number":         claims(map[string]any{"exp": "tomorrow"}),
		"J5 nbf in the future":        claims(map[string]any{"nbf": now.Add(token.Leeway + 5*time.Second).Unix()}),
		"J5 iat in the future":        claims(map[string]any{"iat": now.Add(token.Leeway + 5*time.Second).Unix()}),
		"J5 iat missing":              claims(map[string]any{"iat": nil}),
		"audience of another":         claims(map[string]any{"aud": "https://other.example/"}),
		"audience with slash":         claims(map[string]any{"aud": audience + "/"}),
		"audience missing":            claims(map[string]any{"aud": nil}),
		"audience empty":              claims(map[string]any{"aud": ""}),
		"two audiences":               claims(map[string]any{"aud": []string{audience, "https://other.example/"}}),
		"the same audience twice":     claims(map[string]any{"aud": []string{audience, audience}}),
		"audience not a string":       claims(map[string]any{"aud": []any{audience, 1}}),
		"sub missing":                 claims(map[string]any{"sub": nil}),
		"sub a number":                claims(map[string]any{"sub": 1}),
		"client_id missing":           claims(map[string]any{"client_id": nil}),
		"jti missing":                 claims(map[string]any{"jti": nil}),
		"claim twice":                 with(`"sub":"admin"`),
		"claim twice, escaped":        with(`"\u0073ub":"admin"`),
		"header parameter twice":      i.SignRaw(`{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"key-1"}`, string(payload)),
		"actor twice, nested":         with(`"act":{"sub":"a","sub":"b"}`),
		"case variant":                with(`"Sub":"admin"`),
		"case variant by Unicode":     with(`"\u017fub":"admin"`), // ſ folds to s
		"case variant of a new claim": with(`"ACT":{"sub":"x"}`),
		"case variant, header":        i.SignRaw(`{"alg":"ES256","Typ":"at+jwt","typ":"JWT","kid":"key-1"}`, string(payload)),
		"J7 100 kB":                   claims(map[string]any{"pad": strings.Repeat("x", 100<<10)}),
		"J7 10,000 audiences":         claims(map[string]any{"aud": strings.Fields(strings.Repeat(audience+" ", 10000))}),
		"J7 deep arrays":              with(`"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000)),
		"J7 deep objects":             with(`"x":` + strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500)),
		"J7 deep actors":              with(`"act":` + strings.Repeat(`{"act":`, 500) + "{}" + strings.Repeat("}", 500)),
		"J7 five parts":               good + ".AAAA.AAAA",
		"J7 two parts":                parts[0] + "." + parts[1],
		"J7 only dots":                strings.Repeat(".", 5000),
		"J7 space before":             " " + good,
		"J7 space inside":             parts[0] + ". " + parts[1] + "." + parts[2],
		"J7 line break":               parts[0] + ".\n" + parts[1] + "." + parts[2],
		"J7 line break in signature":  good + "\n",
		"J7 padding":                  parts[0] + "." + parts[1] + "." + parts[2] + "==",
		"J7 not canonical":            good[:len(good)-1] + nextLetter(good[len(good)-1]),
		"J7 standard alphabet":        parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(strings.Repeat("-_", 43)),
		"J7 payload not an object":    raw(`["sub"]`),
		"J7 two payloads":             raw(string(payload) + string(payload)),
		"J7 payload not JSON":         raw(`{"sub":`),
		"J7 payload a string":         raw(`"x"`),
		"J7 payload empty":            raw(``),
		"empty":                       "",
	}
}

// hmac returns a token whose "signature" is made with the public key, which a
// verifier accepts that lets the token choose the algorithm.
func (i *Issuer) hmac(audience string) string {
	i.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(i.PublicKey())
	if err != nil {
		i.t.Fatal(err)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, i.Claims(audience))
	t.Header["typ"], t.Header["kid"] = token.Type, "key-1"
	s, err := t.SignedString(der)
	if err != nil {
		i.t.Fatal(err)
	}
	return s
}

// nextLetter returns the base64url letter after b. In the last place of a
// 64-byte signature it differs in the bits that decoders drop.
func nextLetter(b byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(letters[strings.IndexByte(letters, b)+1])
}
