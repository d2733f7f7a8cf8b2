package dpop

import (
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"demo.example/services/internal/dpop/dpoptest"
)

// TestPublicKeyIsRefused looks at keys alone: in a whole proof their signature
// would be wrong as well.
func TestPublicKeyIsRefused(t *testing.T) {
	ec, ed, rs := dpoptest.NewKey(t), dpoptest.NewKeyFor(t, "EdDSA"), dpoptest.NewKeyFor(t, "RS256")
	ofSize := func(bits int) map[string]any {
		return dpoptest.RSAKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), bits-1, 1), E: 65537})
	}
	tests := map[string]struct {
		key     *dpoptest.Key
		changes map[string]any
		reason  string
	}{
		"private EC key":                 {ec, map[string]any{"d": "AAAA"}, "private"},
		"private member without value":   {ec, map[string]any{"d": ""}, "private"},
		"private member null":            {ec, map[string]any{"d": json.RawMessage("null")}, "private"},
		"private RSA key, prime alone":   {rs, map[string]any{"p": "AAAA"}, "private"},
		"symmetric key":                  {ec, map[string]any{"kty": "oct", "k": "AAAA"}, "private"},
		"EC key of another curve":        {ec, map[string]any{"crv": "P-384"}, "not a key for alg"},
		"EC key that says it is RSA":     {ec, map[string]any{"kty": "RSA"}, "not a key for alg"},
		"key for X25519":                 {ed, map[string]any{"crv": "X25519"}, "not a key for alg"},
		"point that is on no curve":      {ec, map[string]any{"y": ec.Public["x"]}, "no point"},
		"short coordinate":               {ec, map[string]any{"x": ec.Public["x"].(string)[:42]}, "32 bytes"},
		"coordinate with a newline":      {ec, map[string]any{"x": ec.Public["x"].(string) + "\n"}, "32 bytes"},
		"coordinate with padding":        {ec, map[string]any{"x": ec.Public["x"].(string) + "="}, "32 bytes"},
		"coordinate is a number":         {ec, map[string]any{"x": 1}, "32 bytes"},
		"no coordinate":                  {ec, map[string]any{"y": nil}, "32 bytes"},
		"short Ed25519 key":              {ed, map[string]any{"x": "AAAA"}, "32 bytes"},
		"RSA key of 1024 bits":           {rs, ofSize(1024), "bits"},
		"RSA key of 2047 bits":           {rs, ofSize(2047), "bits"},
		"RSA key of 4097 bits":           {rs, ofSize(4097), "bits"},
		"RSA modulus is even":            {rs, map[string]any{"n": b64(new(big.Int).SetBit(new(big.Int), 2047, 1).Bytes())}, "bits"},
		"RSA exponent 1":                 {rs, map[string]any{"e": "AQ"}, "odd"},
		"RSA exponent 3":                 {rs, map[string]any{"e": "Aw"}, "odd"},
		"RSA exponent is even":           {rs, map[string]any{"e": "AQAC"}, "odd"},
		"RSA exponent beyond measure":    {rs, map[string]any{"e": strings.Repeat("_", 40)}, "odd"},
		"RSA exponent, leading zero":     {rs, map[string]any{"e": "AAEAAQ"}, "leading zeros"},
		"RSA modulus, leading zero":      {rs, map[string]any{"n": b64(append([]byte{0}, rs.Private.Public().(*rsa.PublicKey).N.Bytes()...))}, "leading zeros"},
		"RSA exponent with a line break": {rs, map[string]any{"e": "AQ\nAB"}, "base64url"},
	}
	for name, tt := range tests {
		t.Run("D-POP "+name, func(t *testing.T) {
			_, _, err := publicKey(dpoptest.With(tt.key.Public, tt.changes), tt.key.Alg)
			if err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("got %v, want %q", err, tt.reason)
			}
		})
	}
}
