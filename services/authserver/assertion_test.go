package authserver

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/store/sqlite"
)

// assertion returns the claims of a good client assertion.
func (h *harness) assertion(client string) jwt.MapClaims {
	now := h.time()
	return jwt.MapClaims{
		"iss": client, "sub": client, "aud": h.cfg.Issuer(), "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

// sign signs claims; header adds to or replaces (by nil: removes) what is in
// the JWT's header.
func (k testKey) sign(claims jwt.MapClaims, header map[string]any) string {
	t := jwt.NewWithClaims(k.method, claims)
	for name, value := range header {
		if t.Header[name] = value; value == nil {
			delete(t.Header, name)
		}
	}
	raw, err := t.SignedString(k.private)
	if err != nil {
		panic(err)
	}
	return raw
}

// asserted adds a client assertion to a form.
func asserted(form url.Values, assertion string) url.Values {
	out := maps.Clone(form)
	out.Del("client_id")
	out.Set("client_assertion_type", clients.AssertionType)
	out.Set("client_assertion", assertion)
	return out
}

// authenticates checks that a client assertion is accepted: only a client that
// was let in hears that its code is unknown.
func (h *harness) authenticates(name, assertion string, change ...func(url.Values)) {
	h.Helper()
	wantError(h, name, h.tryAssertion(assertion, change...), 400, "invalid_grant")
}

func (h *harness) tryAssertion(assertion string, change ...func(url.Values)) answer {
	h.Helper()
	form := asserted(redeemForm("", "unknown"), assertion)
	for _, f := range change {
		f(form)
	}
	return h.post(h.newBrowser(), "/token", form)
}

// TestAssertionClaims: what an assertion has to say (RFC 7523 §3), and what
// may differ.
func TestAssertionClaims(t *testing.T) {
	h, key := newHarness(t), ecKey()
	client, other := h.keyClient(nil, key), h.keyClient(nil, key)
	set := func(name string, value any) jwt.MapClaims {
		c := h.assertion(client)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	issuer, endpoint := h.cfg.Issuer(), h.cfg.Issuer()+"/token"
	in := func(d time.Duration) int64 { return h.time().Add(d).Unix() }
	for name, claims := range map[string]jwt.MapClaims{
		"the least":             set("iat", nil),
		"aud: token endpoint":   set("aud", endpoint),
		"aud: list of one":      set("aud", []string{issuer}),
		"aud: both of ours":     set("aud", []string{issuer, endpoint}),
		"exp in five minutes":   set("exp", in(5*time.Minute)),
		"a clock a bit ahead":   set("iat", in(8*time.Second)),
		"nbf now":               set("nbf", in(0)),
		"jti of another client": set("jti", "the same"),
	} {
		h.authenticates(name, key.sign(claims, nil))
	}
	theirs := h.assertion(other)
	theirs["jti"] = "the same"
	h.authenticates("jti of another client", key.sign(theirs, nil))

	for name, claims := range map[string]jwt.MapClaims{
		"no iss":               set("iss", nil),
		"no sub":               set("sub", nil),
		"iss is not sub":       set("iss", other),
		"sub is not iss":       set("sub", other),
		"neither is a client":  {"iss": "x", "sub": "x", "aud": issuer, "jti": "1", "exp": in(time.Minute)},
		"both are empty":       {"iss": "", "sub": "", "aud": issuer, "jti": "1", "exp": in(time.Minute)},
		"sub is a list":        set("sub", []string{client}),
		"no aud":               set("aud", nil),
		"aud: empty list":      set("aud", []string{}),
		"aud: another server":  set("aud", "https://login.evil.example"),
		"aud: also another":    set("aud", []string{issuer, "https://login.evil.example"}),
		"aud: with a slash":    set("aud", issuer+"/"),
		"aud: a resource":      set("aud", h.cfg.MCPResource()),
		"aud: another page":    set("aud", issuer+"/introspect"),
		"aud: the client":      set("aud", client),
		"no exp":               set("exp", nil),
		"exp is past":          set("exp", in(-time.Second)),
		"exp is now":           set("exp", in(0)),
		"exp in six minutes":   set("exp", in(6*time.Minute)),
		"exp in a year":        set("exp", in(365*24*time.Hour)),
		"exp beyond all time":  set("exp", json.Number("1e300")),
		"exp is a string":      set("exp", "9999999999"),
		"iat in the future":    set("iat", in(time.Minute)),
		"nbf in the future":    set("nbf", in(time.Minute)),
		"no jti":               set("jti", nil),
		"jti is empty":         set("jti", ""),
		"jti is a number":      set("jti", 1),
		"a second iss by case": set("ISS", client),
		"larger than 8 kB":     set("x", strings.Repeat("x", 8<<10)),
	} {
		wantError(h, name, h.tryAssertion(key.sign(claims, nil)), 401, "invalid_client")
	}

	// client_id may come along, if it says the same (RFC 7521 §4.2).
	id := func(v string) func(url.Values) { return func(f url.Values) { f.Set("client_id", v) } }
	h.authenticates("the same client_id", key.sign(h.assertion(client), nil), id(client))
	wantError(h, "another client_id", h.tryAssertion(key.sign(h.assertion(client), nil), id(other)), 401, "invalid_client")
	for name, change := range map[string]func(url.Values){
		"no type": func(f url.Values) { f.Del("client_assertion_type") },
		"a SAML type": func(f url.Values) {
			f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		},
		"no assertion":  func(f url.Values) { f.Del("client_assertion"); id(client)(f) },
		"empty":         func(f url.Values) { f.Set("client_assertion", "") },
		"secret beside": func(f url.Values) { f.Set("client_secret", "") },
	} {
		wantError(h, name, h.tryAssertion(key.sign(h.assertion(client), nil), change), 401, "invalid_client")
	}
	form := asserted(redeemForm("", "unknown"), key.sign(h.assertion(client), nil))
	wantError(h, "P14 Basic beside", h.post(h.newBrowser(), "/token", form, basic("stocks-web")...), 401, "invalid_client")
	wantError(h, "P14 empty Basic beside", h.post(h.newBrowser(), "/token", form, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(client+":"))), 401, "invalid_client")
	h.authenticates("and none of this used it up", form.Get("client_assertion"))
}

// TestAssertionForgery: who has no key of the client gets nowhere.
func TestAssertionForgery(t *testing.T) {
	h := newHarness(t)
	ec, ed, rs := ecKey(), edKey(), rsaKey(jwt.SigningMethodRS256)
	ec.jwk["kid"] = "ec"
	client := h.keyClient(nil, ec, ed, rs)
	attacker := ecKey()
	attackers := h.keyClient(nil, attacker)
	onlyRS := h.keyClient(map[string]any{"token_endpoint_auth_signing_alg": "RS256"}, rs, ec)
	psKey := rsaKey(jwt.SigningMethodPS256)
	psKey.jwk["alg"] = "PS256"
	onlyPS := h.keyClient(nil, psKey)
	secret, public := h.register(map[string]any{"redirect_uris": []string{callback}}), h.agent()

	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, h.assertion(client)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	hmac := func(key []byte) string {
		raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, h.assertion(client)).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	der, err := x509.MarshalPKIXPublicKey(&rsaPrivate().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	good := ec.sign(h.assertion(client), map[string]any{"kid": "ec"})
	parts := strings.Split(good, ".")
	relabelled := func(k testKey, alg string) string { // says alg, is signed by k's
		raw := jwt.NewWithClaims(k.method, h.assertion(client))
		raw.Header["alg"] = alg
		out, err := raw.SignedString(k.private)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	opaque := h.tokens(h.agent(), john).JSON["access_token"].(string)
	for name, raw := range map[string]string{
		"alg none":                       unsigned,
		"alg none, signed":               b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key, DER": hmac(der),
		"HS256 with the modulus":         hmac(rsaPrivate().N.Bytes()),
		"HS256 with the JWK's text":      hmac([]byte(ec.jwk["x"].(string))),
		"ES256 relabelled RS256":         relabelled(ec, "RS256"),
		"RS256 relabelled ES256":         relabelled(rs, "ES256"),
		"RS256 relabelled PS256":         relabelled(rs, "PS256"),
		"EdDSA relabelled ES256":         relabelled(ed, "ES256"),
		"ES384":                          b64([]byte(`{"alg":"ES384"}`)) + "." + parts[1] + "." + parts[2],
		"no signature":                   parts[0] + "." + parts[1] + ".",
		"another's signature":            parts[0] + "." + parts[1] + "." + strings.Split(ec.sign(h.assertion(client), nil), ".")[2],
		"ES256 signature of zeros":       parts[0] + "." + parts[1] + "." + b64(make([]byte, 64)),
		"another client's key":           attacker.sign(h.assertion(client), nil),
		"own key for another client":     ec.sign(h.assertion(attackers), nil),
		"kid of another key":             ed.sign(h.assertion(client), map[string]any{"kid": "ec", "alg": "ES256"}),
		"kid is unknown":                 ec.sign(h.assertion(client), map[string]any{"kid": "../../dev/null"}),
		"kid is a number":                ec.sign(h.assertion(client), map[string]any{"kid": 1}),
		"jwk in the header":              attacker.sign(h.assertion(client), map[string]any{"jwk": attacker.jwk}),
		"jku in the header":              attacker.sign(h.assertion(client), map[string]any{"jku": "https://evil.example/jwks"}),
		"x5u in the header":              attacker.sign(h.assertion(client), map[string]any{"x5u": "https://evil.example/x5u"}),
		"x5c in the header":              attacker.sign(h.assertion(client), map[string]any{"x5c": []string{"AA"}}),
		"jku beside the right key":       ec.sign(h.assertion(client), map[string]any{"jku": "https://evil.example/jwks"}),
		"crit":                           ec.sign(h.assertion(client), map[string]any{"crit": []string{"exp"}}),
		"b64":                            ec.sign(h.assertion(client), map[string]any{"b64": false}),
		"typ at+jwt":                     ec.sign(h.assertion(client), map[string]any{"typ": "at+jwt"}),
		"typ dpop+jwt":                   ec.sign(h.assertion(client), map[string]any{"typ": "dpop+jwt"}),
		"not the registered algorithm":   ec.sign(h.assertion(onlyRS), nil),
		"not the key's algorithm":        rs.sign(h.assertion(onlyPS), nil),
		"a client with a secret":         ec.sign(h.assertion(secret), nil),
		"a public client":                ec.sign(h.assertion(public), nil),
		"a reviewed client":              ec.sign(h.assertion("stocks-web"), nil),
		"nobody":                         ec.sign(h.assertion("nobody"), nil),
		"an access token":                h.phantom(opaque),
		"an opaque token":                opaque,
		"a line break":                   parts[0] + "." + parts[1] + ".\n" + parts[2],
		"padding":                        parts[0] + "=." + parts[1] + "." + parts[2],
		"four parts":                     good + ".x",
		"empty parts":                    "..",
		"two algs":                       b64([]byte(`{"alg":"none","alg":"ES256"}`)) + "." + parts[1] + "." + parts[2],
	} {
		wantError(h, name, h.tryAssertion(raw), 401, "invalid_client")
	}
	h.authenticates("kid", good)
	h.authenticates("no typ, no kid", ec.sign(h.assertion(client), map[string]any{"typ": nil}))
	h.authenticates("typ in lower case", ec.sign(h.assertion(client), map[string]any{"typ": "jwt"}))
	h.authenticates("a kid for a key that has none", ed.sign(h.assertion(client), map[string]any{"kid": "thumbprint"}))
	h.authenticates("the registered algorithm", rs.sign(h.assertion(onlyRS), nil))
	h.authenticates("the key's algorithm", psKey.sign(h.assertion(onlyPS), nil))

	if strings.Contains(h.logs.String(), parts[2]) {
		t.Error("an assertion is in the log")
	}
}

// TestAssertionReplay: an assertion is good once, in parallel, after a restart
// and after the store was cleaned.
func TestAssertionReplay(t *testing.T) {
	h, key := newHarness(t), ecKey()
	client := h.keyClient(nil, key)
	claims := h.assertion(client)
	raw := key.sign(claims, nil)
	if got := parallel(20, func() bool { return h.tryAssertion(raw).Status == http.StatusBadRequest }); got != 1 {
		t.Errorf("one assertion authenticated %d times", got)
	}
	wantError(h, "again", h.tryAssertion(raw), 401, "invalid_client")
	wantError(h, "the same jti, signed anew", h.tryAssertion(key.sign(claims, nil)), 401, "invalid_client")
	claims["exp"] = h.time().Add(2 * time.Minute).Unix()
	wantError(h, "the same jti, longer", h.tryAssertion(key.sign(claims, nil)), 401, "invalid_client")
	wantError(h, "at another endpoint", h.post(h.newBrowser(), "/revoke", asserted(url.Values{"token": {"x"}}, raw)), 401, "invalid_client")

	h.reopen()
	wantError(h, "after a restart", h.tryAssertion(raw), 401, "invalid_client")
	if err := h.db.Expire(t.Context(), h.time()); err != nil {
		t.Fatal(err)
	}
	wantError(h, "after cleaning up", h.tryAssertion(raw), 401, "invalid_client")
	h.wait(61 * time.Second)
	if err := h.db.Expire(t.Context(), h.time()); err != nil {
		t.Fatal(err)
	}
	wantError(h, "forgotten, because it expired", h.tryAssertion(raw), 401, "invalid_client")
	h.authenticates("a new one", key.sign(h.assertion(client), nil))
}

// forgetful remembers no assertion.
type forgetful struct{}

func (forgetful) AddAssertion(context.Context, store.Hash, time.Time) error {
	return errors.New("the disk is full")
}

// TestAssertionOutage: an assertion that cannot be remembered is not accepted,
// and the client is not told that it is wrong.
func TestAssertionOutage(t *testing.T) {
	h, key := newHarness(t), ecKey()
	client := h.keyClient(nil, key)
	try := func() answer {
		form := asserted(redeemForm("", "unknown"), key.sign(h.assertion(client), nil))
		return h.post(h.newBrowser(), "/token", form, "Accept", "application/json")
	}
	h.clients.Assertions = forgetful{}
	wantError(h, "disk full", try(), 503, "temporarily_unavailable")
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	a := try()
	wantError(h, "store down", a, 503, "temporarily_unavailable")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// reopen starts the server anew on the same database file.
func (h *harness) reopen(change ...func(*Config)) {
	h.Helper()
	h.http.Close()
	if err := h.db.Close(); err != nil {
		h.Fatal(err)
	}
	cfg := h.cfg
	for _, f := range change {
		f(&cfg)
	}
	db, err := sqlite.Open(h.Context(), cfg.DatabaseFile)
	if err != nil {
		h.Fatal(err)
	}
	if h.server, err = newServer(h.Context(), cfg, db, h.mail, h.time, slog.New(slog.NewJSONHandler(h.logs, nil))); err != nil {
		h.Fatal(err)
	}
	started := httptest.NewTLSServer(h.routes())
	h.http = started
	h.Cleanup(func() {
		started.Close()
		if err := db.Close(); err != nil {
			h.Error(err)
		}
	})
}
