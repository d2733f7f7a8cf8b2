package token_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
	"demo.example/services/internal/token/tokentest"
)

const (
	issuerName = "https://login.demo.localhost:8443"
	audience   = "https://api.demo.localhost:8443"
)

func newVerifier(i *tokentest.Issuer) *token.Verifier {
	return token.NewVerifier(issuerName, audience, i.JWKSURL, http.DefaultClient)
}

func TestGoodToken(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	verifier := newVerifier(issuer)
	raw := issuer.Sign(issuer.With(audience, map[string]any{
		"client_assurance_level": 2,
		"act":                    map[string]any{"sub": "stocksmcp"},
	}))
	claims, err := verifier.Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	got := *claims
	got.RegisteredClaims = jwt.RegisteredClaims{Subject: claims.Subject, ID: claims.ID}
	want := token.Claims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: "user-1", ID: "jti-1"},
		ClientID:         "client-1", Scope: "stocks/read", Region: "USA", ClientType: "mcp", ClientAssuranceLevel: 2,
		Actor: &token.Actor{Subject: "stocksmcp"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, typ := range []string{"AT+JWT", "application/at+jwt"} {
		if _, err := verifier.Verify(t.Context(), issuer.SignWithHeader(issuer.Claims(audience), map[string]any{"typ": typ})); err != nil {
			t.Errorf("typ %s: %v", typ, err)
		}
	}
}

// TestRefused holds the attack catalogue's tests J1 to J7.
func TestRefused(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	other := tokentest.New(t, "https://login.evil.example") // has a key-1 of its own
	verifier := newVerifier(issuer)

	var fetched atomic.Int64 // of anything that a header points to
	lure := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer lure.Close()

	now := time.Now()
	claims := func(changes map[string]any) string { return issuer.Sign(issuer.With(audience, changes)) }
	header := func(changes map[string]any) string { return issuer.SignWithHeader(issuer.Claims(audience), changes) }
	good := claims(nil)
	parts := strings.Split(good, ".")
	enc := base64.RawURLEncoding.EncodeToString
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	raw := func(payload string) string {
		return issuer.SignRaw(`{"alg":"ES256","typ":"at+jwt","kid":"key-1"}`, payload)
	}
	with := func(member string) string { return raw(strings.Replace(string(payload), "{", "{"+member+",", 1)) }
	hmac := func() string {
		der, err := x509.MarshalPKIXPublicKey(issuer.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		tok := jwt.NewWithClaims(jwt.SigningMethodHS256, issuer.Claims(audience))
		tok.Header["typ"], tok.Header["kid"] = token.Type, "key-1"
		s, err := tok.SignedString(der)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	tests := map[string]string{
		"J1 alg none":                 enc([]byte(`{"alg":"none","typ":"at+jwt","kid":"key-1"}`)) + "." + parts[1] + ".",
		"J1 alg None":                 enc([]byte(`{"alg":"None","typ":"at+jwt","kid":"key-1"}`)) + "." + parts[1] + "." + parts[2],
		"J1 empty signature":          parts[0] + "." + parts[1] + ".",
		"J1 HS256 with public key":    hmac(),
		"J1 alg missing":              issuer.SignRaw(`{"typ":"at+jwt","kid":"key-1"}`, string(payload)),
		"J1 signature of another":     parts[0] + "." + parts[1] + "." + strings.Split(other.Sign(other.Claims(audience)), ".")[2],
		"J1 payload changed":          parts[0] + "." + enc([]byte(strings.Replace(string(payload), "USA", "EUR", 1))) + "." + parts[2],
		"J2 kid missing":              header(map[string]any{"kid": nil}),
		"J2 kid empty":                header(map[string]any{"kid": ""}),
		"J2 kid a number":             header(map[string]any{"kid": 1}),
		"J2 kid traversal":            header(map[string]any{"kid": "../../../../dev/null"}),
		"J2 kid SQL":                  header(map[string]any{"kid": "key-1' UNION SELECT 'x"}),
		"J2 kid URL":                  header(map[string]any{"kid": lure.URL}),
		"J2 jku":                      header(map[string]any{"jku": lure.URL}),
		"J2 x5u":                      header(map[string]any{"x5u": lure.URL}),
		"J2 jwk":                      header(map[string]any{"jwk": map[string]any{"kty": "EC"}}),
		"J2 x5c":                      header(map[string]any{"x5c": []string{"MIIB"}}),
		"J2 crit unknown":             header(map[string]any{"crit": []string{"exp"}}),
		"J2 b64 false":                header(map[string]any{"b64": false, "crit": []string{"b64"}}),
		"J2 b64 false without crit":   header(map[string]any{"b64": false}),
		"J3 typ JWT":                  header(map[string]any{"typ": "JWT"}),
		"J3 typ missing":              header(map[string]any{"typ": nil}),
		"J3 typ of a logout token":    header(map[string]any{"typ": "logout+jwt"}),
		"J3 ID token":                 issuer.SignWithHeader(issuer.With(audience, map[string]any{"nonce": "n", "jti": nil, "client_id": nil}), map[string]any{"typ": "JWT"}),
		"J3 nested":                   issuer.SignRaw(`{"alg":"ES256","typ":"at+jwt","kid":"key-1","cty":"JWT"}`, good),
		"J3 JWE":                      enc([]byte(`{"alg":"dir","enc":"A256GCM","typ":"at+jwt"}`)) + "..AAAA.AAAA.AAAA",
		"J4 issuer":                   claims(map[string]any{"iss": "https://login.evil.example"}),
		"J4 issuer with slash":        claims(map[string]any{"iss": issuerName + "/"}),
		"J4 issuer in upper case":     claims(map[string]any{"iss": strings.ToUpper(issuerName)}),
		"J4 issuer missing":           claims(map[string]any{"iss": nil}),
		"J4 issuer an array":          claims(map[string]any{"iss": []string{issuerName}}),
		"J4 kid of another issuer":    other.Sign(other.With(audience, map[string]any{"iss": issuerName})),
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
		"audience of another":         claims(map[string]any{"aud": "https://mcp.demo.localhost:8443/"}),
		"audience with slash":         claims(map[string]any{"aud": audience + "/"}),
		"audience missing":            claims(map[string]any{"aud": nil}),
		"audience empty":              claims(map[string]any{"aud": ""}),
		"two audiences":               claims(map[string]any{"aud": []string{audience, "https://mcp.demo.localhost:8443/"}}),
		"the same audience twice":     claims(map[string]any{"aud": []string{audience, audience}}),
		"audience not a string":       claims(map[string]any{"aud": []any{audience, 1}}),
		"sub missing":                 claims(map[string]any{"sub": nil}),
		"sub a number":                claims(map[string]any{"sub": 1}),
		"client_id missing":           claims(map[string]any{"client_id": nil}),
		"jti missing":                 claims(map[string]any{"jti": nil}),
		"claim twice":                 with(`"sub":"admin"`),
		"claim twice, escaped":        with(`"\u0073ub":"admin"`),
		"header parameter twice":      issuer.SignRaw(`{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"key-1"}`, string(payload)),
		"actor twice, nested":         with(`"act":{"sub":"a","sub":"b"}`),
		"case variant":                with(`"Sub":"admin"`),
		"case variant by Unicode":     with(`"\u017fub":"admin"`), // ſ folds to s
		"case variant of a new claim": with(`"ACT":{"sub":"x"}`),
		"case variant, header":        issuer.SignRaw(`{"alg":"ES256","Typ":"at+jwt","typ":"JWT","kid":"key-1"}`, string(payload)),
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
	if _, err := verifier.Verify(t.Context(), good); err != nil { // also fetches the keys
		t.Fatal(err)
	}
	for name, raw := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			claims, err := verifier.Verify(t.Context(), raw)
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Errorf("took %v", took)
			}
			if !errors.Is(err, token.ErrInvalid) || errors.Is(err, token.ErrUnavailable) || claims != nil {
				t.Fatalf("got %v, %v; want ErrInvalid", claims, err)
			}
			if len(raw) > 20 && strings.Contains(err.Error(), raw) {
				t.Error("the error shows the token")
			}
		})
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("%d fetches of an address in a header", n)
	}
}

// nextLetter returns the base64url letter after b. In the last place of a
// 64-byte signature it differs in the bits that decoders drop.
func nextLetter(b byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(letters[strings.IndexByte(letters, b)+1])
}

func TestLeeway(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	verifier := newVerifier(issuer)
	now := time.Now()
	tests := map[string]map[string]any{
		"just expired":       {"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(-token.Leeway / 2).Unix()},
		"issued in a moment": {"iat": now.Add(token.Leeway / 2).Unix()},
		"valid in a moment":  {"nbf": now.Add(token.Leeway / 2).Unix()},
	}
	for name, changes := range tests {
		if _, err := verifier.Verify(t.Context(), issuer.Sign(issuer.With(audience, changes))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMalformedPolicyClaims: such a token is genuine, so it is for the policy
// to refuse it; it must find nothing to decide on.
func TestMalformedPolicyClaims(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	verifier := newVerifier(issuer)
	for name, value := range map[string]any{
		"missing": nil, "null": jwt.MapClaims(nil), "array": []string{"USA"}, "object": map[string]any{"a": 1}, "true": true,
	} {
		changes := map[string]any{"region": value, "client_type": value, "client_assurance_level": value}
		claims, err := verifier.Verify(t.Context(), issuer.Sign(issuer.With(audience, changes)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if claims.Region != "" || claims.ClientType != "" || claims.ClientAssuranceLevel != 0 {
			t.Errorf("%s: got %+v", name, claims)
		}
	}
	for _, level := range []any{"1", 1.5, 1e300} {
		claims, err := verifier.Verify(t.Context(), issuer.Sign(issuer.With(audience, map[string]any{"client_assurance_level": level})))
		if err != nil {
			t.Fatalf("%v: %v", level, err)
		}
		if claims.ClientAssuranceLevel != 0 || claims.Region != "USA" {
			t.Errorf("level %v: got %+v", level, claims)
		}
	}
}

func TestKeySetDownFromTheStart(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	issuer.Down.Store(true)
	verifier := newVerifier(issuer)
	raw := issuer.Sign(issuer.Claims(audience))
	_, err := verifier.Verify(t.Context(), raw)
	if !errors.Is(err, token.ErrUnavailable) || errors.Is(err, token.ErrInvalid) {
		t.Fatalf("got %v, want ErrUnavailable alone", err)
	}
	issuer.Down.Store(false)
	deadline := time.Now().Add(2 * time.Second)
	for {
		if _, err = verifier.Verify(t.Context(), raw); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %v after 2 s", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newVerifierAt(i *tokentest.Issuer) (*token.Verifier, *clock) {
	c := &clock{now: time.Now()}
	return token.NewVerifierAt(issuerName, audience, i.JWKSURL, http.DefaultClient, c.Now), c
}

// signAt signs a token that is good at the clock's time.
func signAt(i *tokentest.Issuer, c *clock) string {
	now := c.Now()
	return i.Sign(i.With(audience, map[string]any{"iat": now.Unix(), "exp": now.Add(15 * time.Minute).Unix()}))
}

func TestUnusableKeySetKeepsTheLastGoodOne(t *testing.T) {
	bodies := map[string]string{
		"empty set":  `{"keys":[]}`,
		"no set":     `{}`,
		"wrong type": `["keys"]`,
		"not JSON":   `<html>`,
		"other keys": `{"keys":[{"kty":"RSA","kid":"key-1","n":"AQAB","e":"AQAB"}]}`,
		"off curve":  `{"keys":[{"kty":"EC","crv":"P-256","kid":"key-1","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}]}`,
		"5 MB":       `{"keys":[],"pad":"` + strings.Repeat("x", 5<<20) + `"}`,
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			issuer := tokentest.New(t, issuerName)
			verifier, clock := newVerifierAt(issuer)
			if _, err := verifier.Verify(t.Context(), signAt(issuer, clock)); err != nil {
				t.Fatal(err)
			}
			issuer.Serve(body)
			clock.Advance(6 * time.Minute) // a refresh begins, and fails
			for range 3 {
				if _, err := verifier.Verify(t.Context(), signAt(issuer, clock)); err != nil {
					t.Fatal(err)
				}
				clock.Advance(2 * time.Second)
			}
			// An unknown kid cannot be judged now: it may be a new key's.
			_, err := verifier.Verify(t.Context(), issuer.SignWithHeader(issuer.Claims(audience), map[string]any{"kid": "new"}))
			if !errors.Is(err, token.ErrUnavailable) {
				t.Errorf("unknown kid: got %v, want ErrUnavailable", err)
			}
			clock.Advance(time.Hour) // no longer to be believed
			if _, err := verifier.Verify(t.Context(), signAt(issuer, clock)); !errors.Is(err, token.ErrUnavailable) {
				t.Errorf("after an hour: got %v, want ErrUnavailable", err)
			}
			issuer.Serve("")
			clock.Advance(time.Second)
			if _, err := verifier.Verify(t.Context(), signAt(issuer, clock)); err != nil {
				t.Errorf("after the outage: %v", err)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	verifier, clock := newVerifierAt(issuer)
	old := issuer.Sign(issuer.Claims(audience))
	verify := func(raw string, want error) {
		t.Helper()
		if _, err := verifier.Verify(t.Context(), raw); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	verify(old, nil)
	clock.Advance(2 * time.Second)
	issuer.Rotate("key-2")
	verify(issuer.Sign(issuer.Claims(audience)), nil) // picked up at once
	verify(old, nil)

	issuer.Retire("key-1")
	clock.Advance(6 * time.Minute)
	deadline := time.Now().Add(2 * time.Second)
	for { // the refresh is not waited for
		_, err := verifier.Verify(t.Context(), old)
		if errors.Is(err, token.ErrInvalid) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the retired key is still accepted: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestUnknownKidFlood(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	verifier := newVerifier(issuer)
	good := issuer.Sign(issuer.Claims(audience))
	if _, err := verifier.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	unknown := issuer.SignWithHeader(issuer.Claims(audience), map[string]any{"kid": "unknown"})
	before, start := issuer.Fetches.Load(), time.Now()
	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			for range 125 {
				if _, err := verifier.Verify(t.Context(), unknown); !errors.Is(err, token.ErrInvalid) {
					t.Errorf("got %v, want ErrInvalid", err)
				}
			}
		})
	}
	for range 100 {
		if _, err := verifier.Verify(t.Context(), good); err != nil {
			t.Errorf("valid token during the flood: %v", err)
		}
	}
	flood.Wait()
	allowed := int64(time.Since(start)/time.Second) + 1 // one a second
	if n := issuer.Fetches.Load() - before; n > allowed {
		t.Errorf("%d fetches in %v", n, time.Since(start))
	}
}

// TestSlowKeySet: a caller who gives up does not end the fetch for the others.
func TestSlowKeySet(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		issuer.ServeHTTP(w, r)
	}))
	defer slow.Close()
	verifier := token.NewVerifier(issuerName, audience, slow.URL, http.DefaultClient)
	raw := issuer.Sign(issuer.Claims(audience))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := verifier.Verify(ctx, raw); !errors.Is(err, token.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	close(release)
	if _, err := verifier.Verify(t.Context(), raw); err != nil {
		t.Error(err)
	}
	if n := issuer.Fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

// TestRedirectedKeySet: the keys are where the configuration says.
func TestRedirectedKeySet(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	elsewhere := httptest.NewServer(http.RedirectHandler(issuer.JWKSURL, http.StatusFound))
	defer elsewhere.Close()
	verifier := token.NewVerifier(issuerName, audience, elsewhere.URL, http.DefaultClient)
	if _, err := verifier.Verify(t.Context(), issuer.Sign(issuer.Claims(audience))); !errors.Is(err, token.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func FuzzVerify(f *testing.F) {
	issuer := tokentest.New(f, issuerName)
	verifier := newVerifier(issuer)
	good := issuer.Sign(issuer.Claims(audience))
	f.Add(good)
	f.Add("")
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(issuer.SignRaw(`{"alg":"ES256","typ":"at+jwt","kid":"key-1"}`, `{"a":[{"b":{}}]}`))
	f.Fuzz(func(t *testing.T, raw string) {
		claims, err := verifier.Verify(t.Context(), raw)
		if err == nil && (raw != good || claims == nil) {
			t.Errorf("accepted %q", raw)
		}
		if err != nil && claims != nil {
			t.Error("claims of a refused token")
		}
	})
}
