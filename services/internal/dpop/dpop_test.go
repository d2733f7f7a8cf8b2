package dpop

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"sync"
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

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.offset.Load())) }
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
		"no proof":                    {nil, InvalidProof},
		"empty":                       {[]string{""}, InvalidProof},
		"two headers":                 {[]string{proof, proof}, InvalidProof},
		"two in one header":           {[]string{proof + ", " + proof}, InvalidProof},
		"not a JWT":                   {[]string{"a.b"}, InvalidProof},
		"too long":                    {claims("x", strings.Repeat("x", maxProof)), InvalidProof},
		"padding in base64":           {[]string{parts[0] + "=." + parts[1] + "." + parts[2]}, InvalidProof},
		"loose last bits":             {[]string{proof[:len(proof)-1] + nextChar(proof)}, InvalidProof},
		"line break in it":            {[]string{parts[0] + ".\n" + parts[1] + "." + parts[2]}, InvalidProof},
		"a claim twice":               {[]string{key.SignRaw(rawHeader, strings.Replace(rawClaims, "{", `{"htm":"POST",`, 1))}, InvalidProof},
		"a header parameter twice":    {[]string{key.SignRaw(strings.Replace(rawHeader, "{", `{"typ":"JWT",`, 1), rawClaims)}, InvalidProof},
		"a member of the key twice":   {[]string{key.SignRaw(strings.Replace(rawHeader, `"kty"`, `"kty":"RSA","kty"`, 1), rawClaims)}, InvalidProof},
		"claims in capitals":          {[]string{key.SignRaw(rawHeader, strings.Replace(rawClaims, `"htm"`, `"HTM"`, 1))}, InvalidProof},
		"claims that are no object":   {[]string{key.SignRaw(rawHeader, `[]`)}, InvalidProof},
		"other signature":             {[]string{parts[0] + "." + parts[1] + "." + strings.Split(dpoptest.NewKey(t).Sign(nil, good), ".")[2]}, InvalidProof},
		"claims changed":              {[]string{parts[0] + "." + encode(strings.Replace(rawClaims, `"1"`, `"2"`, 1)) + "." + parts[2]}, InvalidProof},
		"alg none":                    {[]string{encode(strings.Replace(rawHeader, "ES256", "none", 1)) + "." + parts[1] + "."}, InvalidProof},
		"alg HS256 with the key":      {[]string{hmacProof(key, good)}, InvalidProof},
		"alg of another key type":     {header("jwk", rsaKey.Public), InvalidProof},
		"typ JWT":                     {header("typ", "JWT"), InvalidProof},
		"typ at+jwt":                  {header("typ", "at+jwt"), InvalidProof},
		"no typ":                      {header("typ", nil), InvalidProof},
		"crit":                        {header("crit", []string{"b64"}), InvalidProof},
		"no jwk":                      {header("jwk", nil), InvalidProof},
		"jwk is a text":               {header("jwk", "key"), InvalidProof},
		"jwk of somebody else":        {header("jwk", dpoptest.NewKey(t).Public), InvalidProof},
		"jwk by address":              {[]string{key.Sign(map[string]any{"jwk": nil, "jku": "https://evil.example/jwks"}, good)}, InvalidProof},
		"private EC key":              {jwk(key, map[string]any{"d": "AAAA"}), InvalidProof},
		"private member of no value":  {jwk(key, map[string]any{"d": ""}), InvalidProof},
		"private RSA key":             {jwk(rsaKey, map[string]any{"p": "AAAA"}), InvalidProof},
		"symmetric key":               {header("jwk", map[string]any{"kty": "oct", "k": "AAAA"}), InvalidProof},
		"EC key of another curve":     {jwk(key, map[string]any{"crv": "P-384"}), InvalidProof},
		"point that is on no curve":   {jwk(key, map[string]any{"y": key.Public["x"]}), InvalidProof},
		"short coordinate":            {jwk(key, map[string]any{"x": key.Public["x"].(string)[:42]}), InvalidProof},
		"coordinate with a newline":   {jwk(key, map[string]any{"x": key.Public["x"].(string) + "\n"}), InvalidProof},
		"RSA key of 1024 bits":        {jwk(rsaKey, dpoptest.RSAKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537})), InvalidProof},
		"RSA key of 8192 bits":        {jwk(rsaKey, dpoptest.RSAKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8191, 1), E: 65537})), InvalidProof},
		"RSA exponent 1":              {jwk(rsaKey, map[string]any{"e": "AQ"}), InvalidProof},
		"RSA exponent beyond measure": {jwk(rsaKey, map[string]any{"e": strings.Repeat("_", 40)}), InvalidProof},
		"RSA with a leading zero":     {jwk(rsaKey, map[string]any{"e": "AAEAAQ"}), InvalidProof},
		"no jti":                      {claims("jti", nil), InvalidProof},
		"jti is a number":             {claims("jti", 1), InvalidProof},
		"jti too long":                {claims("jti", strings.Repeat("j", maxID+1)), InvalidProof},
		"no htm":                      {claims("htm", nil), InvalidProof},
		"htm of another method":       {claims("htm", "POST"), InvalidProof},
		"htm in lower case":           {claims("htm", "get"), InvalidProof},
		"no htu":                      {claims("htu", nil), InvalidProof},
		"htu of another host":         {claims("htu", "https://mcp.demo.localhost:8443/stocks/ACME"), InvalidProof},
		"htu of another path":         {claims("htu", testURL+"/"), InvalidProof},
		"htu of another port":         {claims("htu", "https://api.demo.localhost/stocks/ACME"), InvalidProof},
		"htu without TLS":             {claims("htu", strings.Replace(testURL, "https", "http", 1)), InvalidProof},
		"htu with a user":             {claims("htu", strings.Replace(testURL, "//", "//u@", 1)), InvalidProof},
		"htu is a path":               {claims("htu", "/stocks/ACME"), InvalidProof},
		"no iat":                      {claims("iat", nil), InvalidProof},
		"iat is a text":               {claims("iat", fmt.Sprint(now)), InvalidProof},
		"iat is old":                  {claims("iat", now-62), InvalidProof},
		"iat is far ahead":            {claims("iat", now+62), InvalidProof},
		"iat overflows":               {claims("iat", 1e300), InvalidProof},
		"exp is past":                 {claims("exp", now-62), InvalidProof},
		"nbf is to come":              {claims("nbf", now+62), InvalidProof},
		"no ath":                      {claims("ath", nil), InvalidProof},
		"ath of another token":        {claims("ath", dpoptest.HashOf("other")), InvalidProof},
		"ath is a number":             {claims("ath", 1), InvalidProof},
		"no nonce":                    {claims("nonce", nil), UseNonce},
		"nonce is made up":            {claims("nonce", "bWFkZSB1cA"), UseNonce},
		"nonce is a number":           {claims("nonce", 1), InvalidProof},
		"another key":                 {[]string{dpoptest.NewKey(t).Sign(nil, good)}, InvalidProof},
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

// quotable is what an error_description may hold (RFC 6749 §5.2).
var quotable = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]*$`)

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

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

func TestNormalURL(t *testing.T) {
	same := map[string]string{
		"HTTPS://Api.Example":             "https://api.example/",
		"https://api.example:443/a":       "https://api.example/a",
		"https://api.example:/a":          "https://api.example/a",
		"http://api.example:80/a":         "http://api.example/a",
		"https://api.example:80/a":        "https://api.example:80/a",
		"https://api.example/a/./b/../c":  "https://api.example/a/c",
		"https://api.example/%7ea%2fb%c3": "https://api.example/~a%2Fb%C3",
		"https://api.example/a//b?c=/../": "https://api.example/a//b",
		"https://api.example/a#/../x":     "https://api.example/a",
		"https://[::1]:443/":              "https://[::1]/",
	}
	for raw, want := range same {
		if got, err := normalURL(raw); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", raw, got, err, want)
		}
	}
	for _, raw := range []string{"", "api.example/a", "//api.example/a", "https:///a", "https:a", "https://u:p@api.example/", "https://api.example/%zz", "https://a b/"} {
		if got, err := normalURL(raw); err == nil {
			t.Errorf("%q is taken for %s", raw, got)
		}
	}
}

func TestNonces(t *testing.T) {
	c, clock := newTestChecker()
	other := NewChecker([]byte("key of the nonces"), clock.now)
	stranger := NewChecker([]byte("key of another server"), clock.now)
	nonce := c.Nonce()
	if nonce != other.Nonce() {
		t.Error("replicas that share the key disagree")
	}
	if stranger.nonces.accepts(nonce, clock.now()) {
		t.Error("D-POP the nonce of one server is good at another")
	}
	clock.wait(nonceWindow)
	if c.Nonce() == nonce || !c.nonces.accepts(nonce, clock.now()) {
		t.Error("the nonce before is not accepted, or still the current one")
	}
	clock.wait(nonceWindow)
	if c.nonces.accepts(nonce, clock.now()) {
		t.Error("D-POP a nonce from before the last window is accepted")
	}
}

func TestReplays(t *testing.T) {
	t.Run("D-POP a proof is used 50 times at once", func(t *testing.T) {
		c, _ := newTestChecker()
		key := dpoptest.NewKey(t)
		proof := key.Proof("GET", testURL, map[string]any{"nonce": c.Nonce()})
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := c.Check(headerOf(proof), Request{Method: "GET", URL: testURL}); err == nil {
					passed.Add(1)
				} else if codeOf(err) != InvalidProof {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if passed.Load() != 1 {
			t.Errorf("it passed %d times", passed.Load())
		}
	})
	t.Run("D-POP a proof from the future is used until its iat is past", func(t *testing.T) {
		c, clock := newTestChecker()
		key := dpoptest.NewKey(t)
		iat := clock.now().Add(Window - time.Second).Unix()
		proof := func(jti string) http.Header {
			return headerOf(key.Proof("GET", testURL, map[string]any{"nonce": c.Nonce(), "iat": iat, "jti": jti}))
		}
		want := Request{Method: "GET", URL: testURL}
		if _, err := c.Check(proof("1"), want); err != nil {
			t.Fatal(err)
		}
		for range 5 { // to just before it is stale
			clock.wait(23 * time.Second)
			if _, err := c.Check(proof("1"), want); codeOf(err) != InvalidProof || !strings.Contains(err.Error(), "used before") {
				t.Errorf("got %v", err)
			}
		}
		if _, err := c.Check(proof("2"), want); err != nil {
			t.Errorf("another jti of the same time is refused: %v", err)
		}
	})
	t.Run("the same jti of another key or for another address", func(t *testing.T) {
		r, now := newReplays(10), time.Now()
		for _, id := range [][3]string{{"k1", "j", "u"}, {"k2", "j", "u"}, {"k1", "j", "v"}, {"k1", "i", "u"}} {
			if err := r.add(id[0], id[1], id[2], now); err != nil {
				t.Errorf("%v: %v", id, err)
			}
		}
	})
	t.Run("D-POP the memory is flooded", func(t *testing.T) {
		r, now := newReplays(3), time.Now()
		for i := range 3 {
			if err := r.add("k", fmt.Sprint(i), "u", now); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.add("k", "3", "u", now); !errors.Is(err, ErrFull) {
			t.Errorf("a full memory answers %v", err)
		}
		if err := r.add("k", "0", "u", now); !errors.Is(err, errReplayed) {
			t.Errorf("a full memory forgot: %v", err)
		}
		if err := r.add("k", "3", "u", now.Add(keepProofs)); err != nil {
			t.Errorf("there is no room in the next span: %v", err)
		}
		if err := r.add("k", "2", "u", now.Add(2*keepProofs-1)); !errors.Is(err, errReplayed) {
			t.Errorf("forgot too early: %v", err)
		}
		if err := r.add("k", "2", "u", now.Add(5*keepProofs)); err != nil {
			t.Errorf("remembers for ever: %v", err)
		}
	})
}

// FuzzProof checks that whatever is accepted is a proof: of the right type,
// with all that is compared later, signed with a public key that is strong.
func FuzzProof(f *testing.F) {
	for _, alg := range Algorithms {
		key := dpoptest.NewKeyFor(f, alg)
		good := key.Proof("GET", testURL, map[string]any{"nonce": "n", "ath": "a"})
		f.Add(good)
		parts := strings.Split(good, ".")
		f.Add(encode(decode(parts[0])[1:]) + "." + parts[1] + "." + parts[2])
		f.Add(key.SignRaw(decode(parts[0]), `{"jti":"1","htm":"GET","htu":"%","iat":-1e400}`))
		f.Add(key.SignRaw(decode(parts[0]), `{"jti":"1","htm":"GET","htu":"https://a/%2","iat":1}`))
		f.Add(hmacProof(dpoptest.NewKey(f), map[string]any{"jti": "1"}))
	}
	for _, seed := range []string{"", "..", "a.b.c", "e30.e30.", "bnVsbA.bnVsbA.", encode(`{"alg":"none","typ":"dpop+jwt","jwk":{}}`) + ".e30."} {
		f.Add(seed)
	}
	parser := newParser(time.Now)
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parse(parser, raw)
		if err != nil {
			if !quotable.MatchString(err.Error()) {
				t.Errorf("this cannot go into a challenge: %s", err)
			}
			return
		}
		if len(p.Key) != 43 || p.ID == "" || len(p.ID) > maxID || p.Method == "" || p.URL == "" || len(raw) > maxProof {
			t.Errorf("accepted: %+v", p)
		}
		header := decode(strings.Split(raw, ".")[0])
		if !strings.Contains(header, `dpop+jwt`) || strings.Contains(header, `"d":`) {
			t.Errorf("accepted with the header %s", header)
		}
		again, err := normalURL(p.URL)
		if err != nil {
			return
		}
		if twice, err := normalURL(again); err != nil || twice != again {
			t.Errorf("%s is normal, and so is %s (%v)", again, twice, err)
		}
	})
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
