package token_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
	"demo.example/services/internal/token/tokentest"
)

// TestAuthorizationDetails: malformed ones are as good as none, and the token
// stays good for what it allows without them.
func TestAuthorizationDetails(t *testing.T) {
	issuer := tokentest.New(t, issuerName)
	verifier := newVerifier(issuer)
	const order = `{"type":"stock_order","symbol":"ALDP","side":"buy","quantity":3,"limit_price":"400.00","currency":"USD","approval":"approval-1"}`
	want := token.AuthorizationDetail{
		Type: token.StockOrder, Symbol: "ALDP", Side: "buy", Quantity: 3, LimitPrice: "400.00", Currency: "USD", Approval: "approval-1",
	}
	tests := map[string]struct {
		claim string
		want  []token.AuthorizationDetail
	}{
		"one":                   {`[` + order + `]`, []token.AuthorizationDetail{want}},
		"one of another type":   {`[{"type":"payment","amount":1},` + order + `]`, []token.AuthorizationDetail{want}},
		"empty":                 {`[]`, nil},
		"null":                  {`null`, nil},
		"an object":             {order, nil},
		"a string":              {`"stock_order"`, nil},
		"an array of strings":   {`["stock_order"]`, nil},
		"an array of null":      {`[null]`, nil},
		"no type":               {`[{"symbol":"ALDP"}]`, nil},
		"type a number":         {`[{"type":1}]`, nil},
		"a good and a bad one":  {`[` + order + `,{"type":7}]`, nil},
		"quantity a string":     {`[{"type":"stock_order","quantity":"3"}]`, nil},
		"quantity a fraction":   {`[{"type":"stock_order","quantity":1.5}]`, nil},
		"quantity null":         {`[{"type":"stock_order","quantity":null}]`, nil},
		"symbol an array":       {`[{"type":"stock_order","symbol":["ALDP"]}]`, nil},
		"a name in other case":  {`[{"type":"stock_order","Symbol":"ALDP"}]`, nil},
		"a member nobody knows": {`[{"type":"stock_order","only_on":"Monday"}]`, nil},
	}
	for name, tt := range tests {
		raw := issuer.Sign(issuer.With(audience, map[string]any{"authorization_details": json.RawMessage(tt.claim)}))
		claims, err := verifier.Verify(t.Context(), raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, claims.AuthorizationDetails); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if claims.Region != "USA" {
			t.Errorf("%s: the other claims are gone", name)
		}
	}
}
