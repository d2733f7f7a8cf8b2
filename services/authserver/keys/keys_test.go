package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/config"
)

const kek = config.Secret("key-encryption-key-0123456789abcdef")

var now = time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)

// memory is a key store.
type memory struct {
	keys []store.Key
	down error
}

func (m *memory) AddKey(_ context.Context, k store.Key) error {
	m.keys = append(m.keys, k)
	return m.down
}

func (m *memory) Keys(context.Context) ([]store.Key, error) { return slices.Clone(m.keys), m.down }

func (m *memory) DeleteKey(_ context.Context, id string) error {
	m.keys = slices.DeleteFunc(m.keys, func(k store.Key) bool { return k.ID == id })
	return m.down
}

// configOf is a ring's configuration at the time at.
func configOf(m *memory, secret config.Secret, at time.Time) Config {
	return Config{Store: m, Secret: secret, Lifetime: 24 * time.Hour, TokenLifetime: 15 * time.Minute, Now: func() time.Time { return at }}
}

func load(t *testing.T, m *memory) *Ring {
	t.Helper()
	ring, err := Load(t.Context(), configOf(m, kek, now.Add(time.Duration(len(m.keys))*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// add stores a key that was created later than those before.
func add(t *testing.T, m *memory) {
	t.Helper()
	box, err := newBox(kek)
	if err != nil {
		t.Fatal(err)
	}
	k, err := create(box, now.Add(time.Duration(len(m.keys))*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	m.keys = append(m.keys, k)
}

func TestLoadCreatesOnce(t *testing.T) {
	m := &memory{}
	first := load(t, m)
	if len(m.keys) != 1 || !m.keys[0].CreatedAt.Equal(now) {
		t.Fatalf("stored: %v", m.keys)
	}
	again := load(t, m)
	if len(m.keys) != 1 || !bytes.Equal(first.JWKS(), again.JWKS()) {
		t.Errorf("a restart changed the keys from %s to %s", first.JWKS(), again.JWKS())
	}
	raw, err := first.Sign("at+jwt", jwt.RegisteredClaims{Subject: "user-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwt.Parse(raw, again.Key); err != nil {
		t.Errorf("what was signed before a restart is not accepted after it: %v", err)
	}
}

// TestSealed: what is stored holds no plain key.
func TestSealed(t *testing.T) {
	m := &memory{}
	private := load(t, m).current.Load().keys[0].private
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{"DER": der, "private scalar": scalar, "public point": point, "key-encryption key": []byte(kek)} {
		if bytes.Contains(m.keys[0].Private, secret) {
			t.Errorf("the stored key holds its %s", name)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	const hint = "SECRETS_DIR holds another key-encryption-key"
	tests := map[string]struct {
		kek    config.Secret
		change func(m *memory)
		want   string
	}{
		"another key-encryption key": {kek + "x", func(*memory) {}, hint},
		"cut off":                    {kek, func(m *memory) { m.keys[0].Private = m.keys[0].Private[:11] }, "is cut off"},
		"empty":                      {kek, func(m *memory) { m.keys[0].Private = nil }, "is cut off"},
		"one bit changed":            {kek, func(m *memory) { m.keys[0].Private[40] ^= 1 }, hint},
		"nonce changed":              {kek, func(m *memory) { m.keys[0].Private[0] ^= 1 }, hint},
		"renamed":                    {kek, func(m *memory) { m.keys[0].ID += "x" }, hint},
		"swapped":                    {kek, func(m *memory) { m.keys[0].Private, m.keys[1].Private = m.keys[1].Private, m.keys[0].Private }, hint},
		"outage":                     {kek, func(m *memory) { m.down = errors.New("the disk is full") }, "the disk is full"},
	}
	for name, tt := range tests {
		m := &memory{}
		load(t, m)
		add(t, m)
		tt.change(m)
		_, err := Load(t.Context(), configOf(m, tt.kek, now))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), string(kek)) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, tt.want)
		}
		if len(m.keys) != 2 {
			t.Errorf("%s: a new key was created over those that cannot be read", name)
		}
	}
	if _, err := Load(t.Context(), configOf(&memory{down: errors.New("the disk is full")}, kek, now)); err == nil {
		t.Error("a first key that could not be stored is used")
	}
}

// TestJWKS: a library that is not ours verifies the tokens with the published
// keys, also after a rotation.
func TestJWKS(t *testing.T) {
	m := &memory{}
	old, err := load(t, m).Sign("at+jwt", jwt.RegisteredClaims{Subject: "old"})
	if err != nil {
		t.Fatal(err)
	}
	add(t, m)
	ring := load(t, m)
	raw, err := ring.Sign("at+jwt", jwt.RegisteredClaims{Subject: "new", Audience: jwt.ClaimStrings{"one"}})
	if err != nil {
		t.Fatal(err)
	}
	var published jose.JSONWebKeySet
	if err := json.Unmarshal(ring.JWKS(), &published); err != nil {
		t.Fatal(err)
	}
	for i, raw := range []string{old, raw} {
		signed, err := jose.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		header := signed.Signatures[0].Header
		if header.KeyID != m.keys[i].ID || header.ExtraHeaders[jose.HeaderType] != "at+jwt" {
			t.Errorf("token %d: header %+v, want the key %s", i, header, m.keys[i].ID)
		}
		found := published.Key(header.KeyID)
		if len(found) != 1 {
			t.Fatalf("token %d: %d keys are published under its kid", i, len(found))
		}
		payload, err := signed.Verify(found[0])
		if err != nil {
			t.Errorf("token %d: %v", i, err)
		}
		if i == 1 && !strings.Contains(string(payload), `"aud":"one"`) {
			t.Errorf("aud is not one string: %s", payload)
		}
		thumbprint, err := found[0].Thumbprint(crypto.SHA256)
		if err != nil || header.KeyID != base64.RawURLEncoding.EncodeToString(thumbprint) {
			t.Errorf("token %d: kid %s is not the key's thumbprint (RFC 7638): %v", i, header.KeyID, err)
		}
	}

	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	for i, k := range set.Keys {
		want := map[string]string{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": m.keys[i].ID, "x": k["x"], "y": k["y"]}
		if diff := cmp.Diff(want, k); diff != "" {
			t.Errorf("key %d (-want +got):\n%s", i, diff)
		}
	}
	if len(set.Keys) != 2 {
		t.Errorf("%d keys are published, want 2", len(set.Keys))
	}
}

func TestKeyKnowsItsOwn(t *testing.T) {
	ring, stranger := load(t, &memory{}), load(t, &memory{})
	own, other := ring.current.Load().keys[0], stranger.current.Load().keys[0]
	if k, err := ring.Key(&jwt.Token{Header: map[string]any{"kid": own.id}}); err != nil || !own.private.PublicKey.Equal(k.(*ecdsa.PublicKey)) {
		t.Errorf("own key: %v, %v", k, err)
	}
	for name, header := range map[string]map[string]any{"another's": {"kid": other.id}, "none": {}, "empty": {"kid": ""}, "not a string": {"kid": 1}} {
		if k, err := ring.Key(&jwt.Token{Header: header}); err == nil {
			t.Errorf("%s: %v", name, k)
		}
	}
}

// TestDerive: a key for one purpose tells nothing about the one for another.
func TestDerive(t *testing.T) {
	seen := map[string]string{}
	for _, k := range []config.Secret{kek, kek + "x"} {
		for _, purpose := range []string{"signing keys", "form tokens", "passcodes"} {
			got, err := Derive(k, purpose)
			if err != nil || len(got) != 32 {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if other, ok := seen[string(got)]; ok {
				t.Errorf("%s and %s have the same key", purpose, other)
			}
			seen[string(got)] = purpose
			if again, _ := Derive(k, purpose); !bytes.Equal(got, again) {
				t.Errorf("%s: another key each time", purpose)
			}
		}
	}
}
