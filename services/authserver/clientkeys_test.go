package authserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/clients"
)

// testKey is a key of a client under test.
type testKey struct {
	method  jwt.SigningMethod
	private crypto.Signer
	jwk     map[string]any // its public half
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func ecKey() testKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return testKey{jwt.SigningMethodES256, key, map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}}
}

func edKey() testKey {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return testKey{jwt.SigningMethodEdDSA, key, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(public)}}
}

var rsaPrivate = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func rsaKey(method jwt.SigningMethod) testKey {
	key := rsaPrivate()
	return testKey{method, key, map[string]any{"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}
}

// keyClient registers a client that authenticates with keys.
func (h *harness) keyClient(more map[string]any, keys ...testKey) string {
	h.Helper()
	return h.register(keyMetadata(more, keys...))
}

func keyMetadata(more map[string]any, keys ...testKey) map[string]any {
	set := []map[string]any{}
	for _, k := range keys {
		set = append(set, k.jwk)
	}
	m := map[string]any{
		"client_name": "Key Agent", "redirect_uris": []string{callback}, "token_endpoint_auth_method": "private_key_jwt",
		"grant_types": []string{"authorization_code", "refresh_token"}, "jwks": map[string]any{"keys": set},
	}
	maps.Copy(m, more)
	return m
}

// TestPrivateKeyJWT: the code flow of a client with a key, for each algorithm.
// The claim says that it proved one.
func TestPrivateKeyJWT(t *testing.T) {
	for name, key := range map[string]testKey{
		"ES256": ecKey(), "EdDSA": edKey(), "RS256": rsaKey(jwt.SigningMethodRS256), "PS256": rsaKey(jwt.SigningMethodPS256),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			client := h.keyClient(map[string]any{"token_endpoint_auth_signing_alg": name}, key)
			form := redeemForm(client, h.code(h.authorizeQuery(client), john))
			wantError(h, "without an assertion", h.post(h.newBrowser(), "/token", form), 401, "invalid_client")
			tokens := h.post(h.newBrowser(), "/token", asserted(form, key.sign(h.assertion(client), nil)))
			if tokens.Status != http.StatusOK {
				t.Fatalf("code: %d %s", tokens.Status, tokens.Body)
			}
			if got := h.introspected(tokens.JSON["access_token"].(string)); got["client_assurance_level"] != 3.0 || got["client_type"] != "mcp" || got["region"] != "USA" {
				t.Errorf("claims %v", got)
			}
			refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.JSON["refresh_token"].(string)}, "client_id": {client}}
			wantError(h, "refresh without an assertion", h.post(h.newBrowser(), "/token", refresh), 401, "invalid_client")
			again := h.post(h.newBrowser(), "/token", asserted(refresh, key.sign(h.assertion(client), nil)))
			if again.Status != http.StatusOK {
				t.Fatalf("refresh: %d %s", again.Status, again.Body)
			}
			token := again.JSON["access_token"].(string)
			if a := h.post(h.newBrowser(), "/revoke", asserted(url.Values{"token": {token}}, key.sign(h.assertion(client), nil))); a.Status != http.StatusOK {
				t.Errorf("revoke: %d %s", a.Status, a.Body)
			}
			if got := h.introspected(token); got["active"] != false {
				t.Error("a revoked token is active")
			}
		})
	}
}

// TestRegisterKeys: what a client may register as its keys (attacks D5, D7),
// and that it is told what was registered.
func TestRegisterKeys(t *testing.T) {
	h, ec := newHarness(t), ecKey()
	a := h.registerRaw(keyMetadata(map[string]any{"token_endpoint_auth_signing_alg": "ES256"}, ec))
	if a.Status != http.StatusCreated || a.JSON["client_secret"] != nil || a.JSON["token_endpoint_auth_method"] != "private_key_jwt" || a.JSON["token_endpoint_auth_signing_alg"] != "ES256" {
		t.Fatalf("register: %d %s", a.Status, a.Body)
	}
	if diff := cmp.Diff(any(map[string]any{"keys": []any{ec.jwk}}), a.JSON["jwks"]); diff != "" {
		t.Errorf("registered keys (-want +got):\n%s", diff)
	}
	with := func(k testKey, name string, value any) testKey {
		k.jwk = maps.Clone(k.jwk)
		k.jwk[name] = value
		return k
	}
	weak := make([]byte, 128)
	weak[0], weak[127] = 0x80, 1
	rs := rsaKey(jwt.SigningMethodRS256)
	named := with(ecKey(), "kid", "a")
	for name, metadata := range map[string]map[string]any{
		"no keys":               keyMetadata(map[string]any{"jwks": nil}),
		"empty set":             keyMetadata(nil),
		"jwks_uri":              keyMetadata(map[string]any{"jwks": nil, "jwks_uri": "https://agent.example/jwks"}),
		"jwks and jwks_uri":     keyMetadata(map[string]any{"jwks_uri": "https://agent.example/jwks"}, ec),
		"jwks is a string":      keyMetadata(map[string]any{"jwks": "https://agent.example/jwks"}),
		"keys is no list":       keyMetadata(map[string]any{"jwks": map[string]any{"keys": ec.jwk}}),
		"six keys":              keyMetadata(nil, ec, ecKey(), ecKey(), ecKey(), ecKey(), ecKey()),
		"9 kB":                  keyMetadata(nil, with(ec, "x5c", []string{strings.Repeat("A", 9<<10)})),
		"a private key":         keyMetadata(nil, with(ec, "d", "AA")),
		"a symmetric key":       keyMetadata(nil, testKey{jwk: map[string]any{"kty": "oct", "k": "AA"}}),
		"private beside public": keyMetadata(nil, ec, with(edKey(), "d", "AA")),
		"only for encryption":   keyMetadata(nil, with(ec, "use", "enc")),
		"only to wrap":          keyMetadata(nil, with(ec, "key_ops", []string{"wrapKey"})),
		"another algorithm":     keyMetadata(nil, with(ec, "alg", "RS256")),
		"another curve":         keyMetadata(nil, with(ec, "crv", "P-384")),
		"not on the curve":      keyMetadata(nil, with(ec, "x", b64(make([]byte, 32)))),
		"short coordinate":      keyMetadata(nil, with(ec, "x", "AA")),
		"short Ed25519":         keyMetadata(nil, with(edKey(), "x", "AA")),
		"RSA of 1024 bits":      keyMetadata(nil, with(rs, "n", b64(weak))),
		"RSA of 8192 bits":      keyMetadata(nil, with(rs, "n", b64(slices.Repeat([]byte{0xff}, 1024)))),
		"RSA with e = 1":        keyMetadata(nil, with(rs, "e", "AQ")),
		"RSA with e = 3":        keyMetadata(nil, with(rs, "e", "Aw")),
		"RSA with an even n":    keyMetadata(nil, with(rs, "n", b64(append(slices.Repeat([]byte{0xff}, 255), 0xfe)))),
		"one kid for two":       keyMetadata(nil, named, with(edKey(), "kid", "a")),
		"HS256":                 keyMetadata(map[string]any{"token_endpoint_auth_signing_alg": "HS256"}, ec),
		"none":                  keyMetadata(map[string]any{"token_endpoint_auth_signing_alg": "none"}, ec),
		"no key for it":         keyMetadata(map[string]any{"token_endpoint_auth_signing_alg": "RS256"}, ec),
	} {
		a := h.registerRaw(metadata)
		if a.Status != http.StatusBadRequest || a.JSON["error"] != "invalid_client_metadata" || len(a.JSON["error_description"].(string)) > 300 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := h.registerRaw(keyMetadata(map[string]any{"jwks": nil, "jwks_uri": "https://agent.example/jwks"})); !strings.Contains(a.Body, "send the key set itself as jwks") {
		t.Errorf("jwks_uri: %s", a.Body)
	}
	// Kinds of key that are not for here are passed over (RFC 7517 §5), and
	// nothing that leads elsewhere is kept.
	a = h.registerRaw(keyMetadata(nil, testKey{jwk: map[string]any{"kty": "AKP", "pub": "AA"}}, with(with(ec, "x5u", "https://evil.example"), "x5c", []string{"AA"})))
	if a.Status != http.StatusCreated || strings.Contains(a.Body, "evil") || strings.Contains(a.Body, "AKP") || strings.Contains(a.Body, "x5c") {
		t.Errorf("register: %d %s", a.Status, a.Body)
	}
	// Keys raise nobody who does not have to prove them.
	for _, method := range []string{"none", "client_secret_basic"} {
		a := h.registerRaw(keyMetadata(map[string]any{"token_endpoint_auth_method": method}, ec))
		if a.Status != http.StatusCreated || a.JSON["jwks"] != nil {
			t.Fatalf("register: %d %s", a.Status, a.Body)
		}
		c, err := h.clients.Find(t.Context(), a.JSON["client_id"].(string))
		if err != nil || c.Assurance != clients.AssuranceNone || c.JWKS != "" {
			t.Errorf("%s: assurance %d, keys %q, %v", method, c.Assurance, c.JWKS, err)
		}
	}
}

// documents answers every fetch with a client's metadata document.
type documents struct{ body []byte }

func (d documents) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	w.Body.Write(d.body)
	return w.Result(), nil
}

// TestDocumentWithKeys: a client that a document describes may prove a key, of
// those in the document itself.
func TestDocumentWithKeys(t *testing.T) {
	const id = "https://agent.example/client.json"
	h, key := newHarness(t), ecKey()
	publish := func(metadata map[string]any) {
		t.Helper()
		metadata["client_id"] = id
		body, err := json.Marshal(metadata)
		if err != nil {
			t.Fatal(err)
		}
		h.clients.Documents = clients.NewDocuments(&http.Client{Transport: documents{body}}, h.time)
	}
	publish(keyMetadata(nil, key))
	form := redeemForm(id, h.code(h.authorizeQuery(id), john))
	wantError(h, "without an assertion", h.post(h.newBrowser(), "/token", form), 401, "invalid_client")
	wantError(h, "with another key", h.post(h.newBrowser(), "/token", asserted(form, ecKey().sign(h.assertion(id), nil))), 401, "invalid_client")
	tokens := h.post(h.newBrowser(), "/token", asserted(form, key.sign(h.assertion(id), nil)))
	if tokens.Status != http.StatusOK {
		t.Fatalf("token: %d %s", tokens.Status, tokens.Body)
	}
	if got := h.introspected(tokens.JSON["access_token"].(string)); got["client_assurance_level"] != 3.0 || got["client_id"] != id {
		t.Errorf("claims %v", got)
	}
	for name, metadata := range map[string]map[string]any{
		"no keys":       keyMetadata(map[string]any{"jwks": nil}),
		"jwks_uri":      keyMetadata(map[string]any{"jwks": nil, "jwks_uri": "https://agent.example/jwks"}),
		"a private key": keyMetadata(map[string]any{"jwks": map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "d": "AA"}}}}),
		"a secret":      keyMetadata(map[string]any{"token_endpoint_auth_method": "client_secret_basic"}, key),
	} {
		publish(metadata)
		a := h.get(h.newBrowser(), "/authorize?"+h.authorizeQuery(id).Encode())
		if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d, Location %q", name, a.Status, a.Header.Get("Location"))
		}
	}
	publish(keyMetadata(map[string]any{"token_endpoint_auth_method": "none"}, key))
	tokens = h.post(h.newBrowser(), "/token", redeemForm(id, h.code(h.authorizeQuery(id), john)))
	if got := h.introspected(tokens.JSON["access_token"].(string)); got["client_assurance_level"] != 2.0 {
		t.Errorf("a document with keys that nobody proves: claims %v", got)
	}
}
