package token_test

import (
	"errors"
	"testing"
	"time"

	"demo.example/services/internal/token"
	"demo.example/services/internal/token/tokentest"
)

// TestRemembered: what was verified once is not accepted a moment longer for
// it (attacks J4 and J9), nor is what one caller does with the claims seen by
// another.
func TestRemembered(t *testing.T) {
	t.Run("its key is retired", func(t *testing.T) {
		issuer := tokentest.New(t, issuerName)
		verifier, clock := newVerifierAt(issuer)
		old := signAt(issuer, clock)
		mustVerify(t, verifier, old)
		issuer.Rotate("key-2")
		issuer.Retire("key-1")
		clock.Advance(2 * time.Second)                 // keys are fetched once a second
		mustVerify(t, verifier, old)                   // nobody asked for the new keys yet
		mustVerify(t, verifier, signAt(issuer, clock)) // now somebody does
		_, err := verifier.Verify(t.Context(), old)    // long before it is forgotten
		if !errors.Is(err, token.ErrInvalid) {
			t.Errorf("got %v, want ErrInvalid", err)
		}
	})
	t.Run("its key is another of the same name", func(t *testing.T) {
		issuer := tokentest.New(t, issuerName)
		verifier, clock := newVerifierAt(issuer)
		mustVerify(t, verifier, signAt(issuer, clock))
		clock.Advance(5*time.Minute - time.Second)
		old := signAt(issuer, clock)
		mustVerify(t, verifier, old)
		issuer.Retire("key-1")
		issuer.Rotate("key-1")
		clock.Advance(2 * time.Second) // the keys are fetched again, which is not waited for
		for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
			_, err := verifier.Verify(t.Context(), old)
			if errors.Is(err, token.ErrInvalid) {
				return
			}
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
		}
	})
	t.Run("it ends", func(t *testing.T) {
		issuer := tokentest.New(t, issuerName)
		verifier, clock := newVerifierAt(issuer)
		raw := issuer.Sign(issuer.With(audience, map[string]any{"exp": clock.Now().Add(30 * time.Second).Unix()}))
		mustVerify(t, verifier, raw)
		clock.Advance(30*time.Second + token.Leeway)
		if _, err := verifier.Verify(t.Context(), raw); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("got %v, want ErrInvalid", err)
		}
	})
	t.Run("its claims are a copy", func(t *testing.T) {
		issuer := tokentest.New(t, issuerName)
		verifier, clock := newVerifierAt(issuer)
		raw := signAt(issuer, clock)
		for range 3 {
			claims := mustVerify(t, verifier, raw)
			if claims.Subject != "user-1" {
				t.Fatalf("the subject is %q", claims.Subject)
			}
			claims.Subject = "user-2"
		}
	})
}

// TestRememberedIsCheap: no signature is checked again, nor JSON read.
func TestRememberedIsCheap(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	verifier, clock := newVerifierAt(issuer)
	raw := signAt(issuer, clock)
	if n := testing.AllocsPerRun(100, func() { mustVerify(t, verifier, raw) }); n > 10 { // a check takes hundreds
		t.Errorf("%.0f allocations", n)
	}
}

func mustVerify(t *testing.T, verifier *token.Verifier, raw string) *token.Claims {
	t.Helper()
	claims, err := verifier.Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}
