package grants

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

// The pair of RFC 7636 appendix B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestVerifyPKCE(t *testing.T) {
	sum := sha256.Sum256([]byte(verifier))
	short, long := strings.Repeat("a", 43), strings.Repeat("a", 128)
	tests := map[string]struct {
		challenge, verifier string
		wantErr             bool
	}{
		"match":                     {challenge, verifier, false},
		"shortest":                  {s256(short), short, false},
		"longest":                   {s256(long), long, false},
		"every unreserved kind":     {s256(short + "Zz09-._~"), short + "Zz09-._~", false},
		"other verifier":            {challenge, verifier + "x", true},
		"other case":                {challenge, strings.ToUpper(verifier), true},
		"no challenge on record":    {"", verifier, true}, // empty must not equal empty
		"neither":                   {"", "", true},
		"no verifier":               {challenge, "", true},
		"verifier of nothing":       {s256(""), "", true},
		"plain is not accepted":     {verifier, verifier, true},
		"challenge as verifier":     {challenge, challenge, true},
		"one character":             {s256("v"), "v", true},
		"too short by one":          {s256(short[1:]), short[1:], true},
		"too long by one":           {s256(long + "a"), long + "a", true},
		"reserved character":        {s256(short + "/"), short + "/", true},
		"plus":                      {s256(short + "+"), short + "+", true},
		"space":                     {s256(short + " "), short + " ", true},
		"line break":                {s256(short + "\n"), short + "\n", true},
		"NUL":                       {s256(short + "\x00"), short + "\x00", true},
		"not ASCII":                 {s256(strings.Repeat("é", 43)), strings.Repeat("é", 43), true},
		"padded challenge":          {challenge + "=", verifier, true},
		"challenge and line break":  {challenge + "\n", verifier, true},
		"standard base64 challenge": {base64.RawStdEncoding.EncodeToString(sum[:]), verifier, true},
		"hex challenge":             {hex.EncodeToString(sum[:]), verifier, true},
		"challenge cut off":         {challenge[:42], verifier, true},
		"challenge, spare bits set": {challenge[:42] + "N", verifier, true}, // decodes to the same bytes as M, and is another string
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := VerifyPKCE(tt.challenge, tt.verifier)
			if (err != nil) != tt.wantErr {
				t.Errorf("got error %v, want one: %v", err, tt.wantErr)
			}
			if err != nil && len(tt.verifier) > 1 && strings.Contains(err.Error(), tt.verifier) {
				t.Errorf("the error holds the verifier: %v", err)
			}
		})
	}
}

// FuzzVerifyPKCE: nothing but the S256 of a verifier of the right form is
// accepted, and that always.
func FuzzVerifyPKCE(f *testing.F) {
	f.Add(challenge, verifier)
	f.Add(verifier, verifier)
	f.Add("", "")
	f.Add(s256("v"), "v")
	f.Fuzz(func(t *testing.T, challenge, verifier string) {
		wellFormed := len(verifier) >= 43 && len(verifier) <= 128 && !strings.ContainsFunc(verifier, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~", r))
		})
		if got, want := VerifyPKCE(challenge, verifier) == nil, wellFormed && challenge == s256(verifier); got != want {
			t.Fatalf("VerifyPKCE(%q, %q) accepts: %v, want %v", challenge, verifier, got, want)
		}
		if got := VerifyPKCE(s256(verifier), verifier) == nil; got != wellFormed {
			t.Fatalf("VerifyPKCE of the challenge of %q accepts: %v, want %v", verifier, got, wellFormed)
		}
	})
}
