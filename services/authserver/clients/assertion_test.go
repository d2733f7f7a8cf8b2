package clients

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// oneClient is a store with one client.
type oneClient struct {
	clientStore
	c store.Client
}

func (o oneClient) SaveClient(context.Context, store.Client) error { return nil }
func (o oneClient) Client(_ context.Context, id string) (store.Client, error) {
	if id != o.c.ID {
		return store.Client{}, store.ErrNotFound
	}
	return o.c, nil
}

// usedOnce remembers assertions.
type usedOnce map[store.Hash]bool

func (u usedOnce) AddAssertion(_ context.Context, hash store.Hash, _ time.Time) error {
	if u[hash] {
		return store.ErrExists
	}
	u[hash] = true
	return nil
}

// keyRegistry knows one client, with one Ed25519 key.
func keyRegistry(t testing.TB) (*Registry, ed25519.PrivateKey, time.Time) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := store.Client{ID: "agent", AuthMethod: AuthPrivateKey}
	jwks := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	if err := registerKeys(&c, json.RawMessage(jwks), "", ""); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_785_000_000, 0)
	return &Registry{
		Store: oneClient{c: c}, Now: func() time.Time { return at }, Assertions: usedOnce{},
		Audiences: []string{"https://login.demo.example", "https://login.demo.example/token"},
	}, private, at
}

// TestEveryAssertionIsVerified: a client that does not exist, or has no key
// that fits, is refused by a signature that does not verify, as one with a
// wrong key is. What differs cannot be timed.
func TestEveryAssertionIsVerified(t *testing.T) {
	r, _, _ := keyRegistry(t)
	known, err := r.Find(t.Context(), "agent")
	if err != nil {
		t.Fatal(err)
	}
	bound, secret := known, known
	bound.SigningAlg, secret.AuthMethod = "RS256", AuthBasic
	own := mustKeys(t, known.JWKS)[0].key
	for name, c := range map[string]store.Client{"unknown": {}, "known": known, "bound to RS256": bound, "with a secret": secret} {
		for _, alg := range Algorithms {
			want := decoys()[alg]
			if name == "known" && alg == "EdDSA" {
				want = own
			}
			set, err := assertionKeys(c, alg, "")
			if err != nil || len(set.Keys) != 1 || !want.(interface{ Equal(crypto.PublicKey) bool }).Equal(set.Keys[0]) {
				t.Errorf("%s, %s: verified with %v, %v", name, alg, set.Keys, err)
			}
		}
	}
}

func mustKeys(t testing.TB, raw string) []publicKey {
	t.Helper()
	keys, err := parseKeys([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// FuzzAssertion: whatever the client itself signs, it is accepted only if it
// says what it must; and what it did not sign is not accepted. Header and
// payload are signed by the client's key where no signature is given.
func FuzzAssertion(f *testing.F) {
	r, private, at := keyRegistry(f)
	good := fmt.Sprintf(`{"iss":"agent","sub":"agent","aud":"https://login.demo.example","exp":%d,"iat":%d,"jti":"1"}`, at.Unix()+60, at.Unix())
	f.Add(`{"alg":"EdDSA","typ":"JWT"}`, good, "")
	f.Add(`{"alg":"EdDSA"}`, strings.Replace(good, `"https://login.demo.example"`, `["https://login.demo.example/token"]`, 1), "")
	f.Add(`{"alg":"EdDSA","kid":"x"}`, strings.Replace(good, `"jti":"1"`, `"jti":"","JTI":"2"`, 1), "")
	f.Add(`{"alg":"none"}`, good, "")
	f.Add(`{"alg":"HS256","jwk":{}}`, good, "AAAA")
	f.Add(`{"alg":"ES256","alg":"EdDSA"}`, `{"exp":1e300,"iat":-1e300,"nbf":null,"aud":[]}`, "x")
	f.Add(`{"alg":"RS256"}`, `[]`, "")
	f.Add(`null`, `null`, "")
	f.Fuzz(func(t *testing.T, header, payload, signature string) {
		b64 := base64.RawURLEncoding
		text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
		signed := signature == ""
		if signed {
			signature = b64.EncodeToString(ed25519.Sign(private, []byte(text)))
		}
		registry := &Registry{Presets: r.Presets, Store: r.Store, Now: r.Now, Audiences: r.Audiences, Assertions: usedOnce{}}
		cred := Credentials{Secret: text + "." + signature, Method: AuthPrivateKey}
		c, err := registry.Authenticate(t.Context(), cred)
		if err != nil {
			var e *oauth.Error
			if !errors.As(err, &e) || e.Code != "invalid_client" || c.ID != "" {
				t.Fatalf("client %q, error %v", c.ID, err)
			}
			return
		}
		if !signed {
			t.Fatalf("accepted a signature of somebody else: %q", cred.Secret)
		}
		var head, claims map[string]any
		if json.Unmarshal([]byte(header), &head) != nil || json.Unmarshal([]byte(payload), &claims) != nil {
			t.Fatalf("accepted what is not JSON: %q %q", header, payload)
		}
		exp, _ := claims["exp"].(float64)
		audience, isList := claims["aud"].([]any)
		if !isList {
			audience = []any{claims["aud"]}
		}
		jti, _ := claims["jti"].(string)
		if head["alg"] != "EdDSA" || claims["iss"] != "agent" || claims["sub"] != "agent" || jti == "" ||
			int64(exp) <= at.Unix() || int64(exp) > at.Add(maxAssertionLife+time.Minute).Unix() || len(audience) == 0 ||
			slices.ContainsFunc(audience, func(a any) bool { s, ok := a.(string); return !ok || !slices.Contains(r.Audiences, s) }) {
			t.Fatalf("accepted %q %q", header, payload)
		}
		if _, err := registry.Authenticate(t.Context(), cred); err == nil {
			t.Fatal("accepted twice")
		}
	})
}

// FuzzParseKeys: keys that a stranger registers are few, strong and public,
// survive being stored, and can be verified with.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","kid":"a","use":"sig"}]}`)) // RFC 7515 §A.3
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","alg":"EdDSA"},{"kty":"oct","k":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("_", 342) + `","e":"AQAB","key_ops":["verify"]}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AA"},null,{}]}`))
	f.Add([]byte(`{"KEYS":[{"kty":"EC","D":"x"}],"keys":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := store.Client{AuthMethod: AuthPrivateKey}
		if err := registerKeys(&c, raw, "", ""); err != nil {
			return
		}
		keys := mustKeys(t, c.JWKS)
		if len(keys) == 0 || len(keys) > maxKeys || strings.Contains(c.JWKS, `"d":`) || strings.Contains(c.JWKS, `"k":`) || strings.Contains(c.JWKS, `"x5`) {
			t.Fatalf("registered %s", c.JWKS)
		}
		for _, alg := range Algorithms {
			for _, key := range fitting(keys, alg, "") {
				if err := jwt.GetSigningMethod(alg).Verify("text", make([]byte, 256), key); err == nil {
					t.Fatalf("%s: a signature of zeros verifies with %s", alg, c.JWKS)
				}
			}
		}
	})
}
