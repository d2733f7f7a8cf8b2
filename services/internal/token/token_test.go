package token_test

import (
	"context"
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

// TestRefused: attacks J1, J2, J3, J4, J5 and J7, at the verifier alone.
// tokentest.Attack tries them at each service, and measures what they cost.
func TestRefused(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	verifier := newVerifier(issuer)

	var fetched atomic.Int64 // of anything that a header points to
	lure := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer lure.Close()

	if _, err := verifier.Verify(t.Context(), issuer.Sign(issuer.Claims(audience))); err != nil { // also fetches the keys
		t.Fatal(err)
	}
	for name, raw := range issuer.Forged(audience, lure.URL) {
		t.Run(name, func(t *testing.T) {
			claims, err := verifier.Verify(t.Context(), raw)
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

func newVerifierAt(i *tokentest.Issuer) (*token.Verifier, *tokentest.Clock) {
	c := tokentest.NewClock(time.Now())
	return token.NewVerifierAt(issuerName, audience, i.JWKSURL, http.DefaultClient, c.Now), c
}

// signAt signs a token that is good at the clock's time.
func signAt(i *tokentest.Issuer, c *tokentest.Clock) string {
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

// TestUnknownKidFlood: attack J10.
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

// TestSlowKeySet: attack J11. A caller who gives up does not end the fetch for the others.
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

// FuzzVerify: attack J7. Nothing but the one good token is accepted.
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
