package authserver

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/dpop/dpoptest"
)

// keyHolder returns an HTTP client that proves a key with every request.
func (h *harness) keyHolder(key *dpoptest.Key) *http.Client {
	c := h.newBrowser()
	c.Transport = &dpoptest.Transport{Key: key, Base: c.Transport}
	return c
}

// nonce asks for one as a client does that has none.
func (h *harness) dpopNonce(agent string) string {
	h.Helper()
	a := h.post(h.newBrowser(), "/token", redeemForm(agent, "x"), "DPoP", dpoptest.NewKey(h).Proof("POST", h.url("/token"), nil))
	wantError(h, "no nonce", a, 400, "use_dpop_nonce")
	nonce := a.Header.Get("DPoP-Nonce")
	if nonce == "" {
		h.Fatal("no DPoP-Nonce")
	}
	return nonce
}

func refreshForm(client string, token any) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {token.(string)}}
}

// TestBoundTokens: what a client that proves a key gets, and what a resource
// server learns of it.
func TestBoundTokens(t *testing.T) {
	h := newHarness(t)
	agent, key := h.agent(), dpoptest.NewKey(t)
	holder := h.keyHolder(key)
	first := h.post(holder, "/token", redeemForm(agent, h.code(h.authorizeQuery(agent), john)))
	if first.Status != http.StatusOK || first.JSON["token_type"] != "DPoP" || first.Header.Get("DPoP-Nonce") == "" {
		t.Fatalf("token: %d %s %v", first.Status, first.Body, first.Header)
	}
	wantBound := func(access any) {
		t.Helper()
		answer := h.introspected(access.(string))
		cnf := map[string]any{"jkt": key.Thumbprint()}
		if answer["active"] != true || answer["token_type"] != "DPoP" || !cmp.Equal(answer["cnf"], any(cnf)) {
			t.Errorf("introspection: %v", answer)
		}
		if _, claims := claimsOf(t, h.phantom(access.(string))); !cmp.Equal(claims["cnf"], any(cnf)) {
			t.Errorf("the JWT behind it: %v", claims)
		}
	}
	wantBound(first.JSON["access_token"])

	second := h.post(holder, "/token", refreshForm(agent, first.JSON["refresh_token"]))
	if second.Status != http.StatusOK || second.JSON["token_type"] != "DPoP" {
		t.Fatalf("refresh: %d %s", second.Status, second.Body)
	}
	wantBound(second.JSON["access_token"])

	// What the MCP server exchanges it for is not bound: the key is not its own.
	exchanged := h.post(h.newBrowser(), "/token", exchangeForm(h.phantom(second.JSON["access_token"].(string)), h.cfg.APIResource()), basic("stocksmcp")...)
	if exchanged.Status != http.StatusOK || exchanged.JSON["token_type"] != "Bearer" {
		t.Fatalf("exchange: %d %s", exchanged.Status, exchanged.Body)
	}
	if _, claims := claimsOf(t, exchanged.JSON["access_token"].(string)); claims["cnf"] != nil {
		t.Errorf("the exchanged token is bound: %v", claims)
	}

	// The token itself, which a thief of it could send as well, is none to
	// exchange: nobody looks at proofs there.
	for _, kind := range []string{"access_token", "jwt"} {
		form := with(exchangeForm(second.JSON["access_token"].(string), h.cfg.APIResource()), "subject_token_type", "urn:ietf:params:oauth:token-type:"+kind)
		wantError(h, "a bound token exchanged as "+kind, h.post(h.newBrowser(), "/token", form, basic("stocksmcp")...), 400, "invalid_request")
	}

	bearer := h.tokens(agent, john)
	answer := h.introspected(bearer.JSON["access_token"].(string))
	if bearer.JSON["token_type"] != "Bearer" || bearer.Header.Get("DPoP-Nonce") != "" || answer["token_type"] != "Bearer" || answer["cnf"] != nil {
		t.Errorf("a client without a key is treated otherwise than before: %s %v", bearer.Body, answer)
	}
}

// TestProofIsRefused: no bad proof gets a token, and none costs the client its
// code.
func TestProofIsRefused(t *testing.T) {
	h := newHarness(t)
	agent, key := h.agent(), dpoptest.NewKey(t)
	nonce, endpoint := h.dpopNonce(agent), h.url("/token")
	proof := func(changes map[string]any) []string {
		return []string{key.Proof("POST", endpoint, dpoptest.With(map[string]any{"nonce": nonce}, changes))}
	}
	code := h.code(h.authorizeQuery(agent), john)
	now := time.Now().Unix()
	for name, tt := range map[string]struct {
		proofs []string
		code   string
	}{
		"no proof in the header":       {[]string{""}, "invalid_dpop_proof"},
		"two proofs":                   {append(proof(nil), proof(nil)...), "invalid_dpop_proof"},
		"other method":                 {proof(map[string]any{"htm": "GET"}), "invalid_dpop_proof"},
		"other endpoint":               {proof(map[string]any{"htu": h.url("/revoke")}), "invalid_dpop_proof"},
		"resource of the token":        {proof(map[string]any{"htu": h.cfg.MCPResource()}), "invalid_dpop_proof"},
		"address of the inner network": {proof(map[string]any{"htu": h.http.URL + "/token"}), "invalid_dpop_proof"},
		"old":                          {proof(map[string]any{"iat": now - 70}), "invalid_dpop_proof"},
		"from the future":              {proof(map[string]any{"iat": now + 70}), "invalid_dpop_proof"},
		"private key in it":            {[]string{key.Sign(map[string]any{"jwk": dpoptest.With(key.Public, map[string]any{"d": "AAAA"})}, map[string]any{"jti": "1", "htm": "POST", "htu": endpoint, "iat": now, "nonce": nonce})}, "invalid_dpop_proof"},
		"signed by another key":        {[]string{key.Sign(map[string]any{"jwk": dpoptest.NewKey(t).Public}, map[string]any{"jti": "1", "htm": "POST", "htu": endpoint, "iat": now, "nonce": nonce})}, "invalid_dpop_proof"},
		"a client assertion as proof":  {[]string{key.Sign(map[string]any{"typ": "JWT"}, map[string]any{"jti": "1", "htm": "POST", "htu": endpoint, "iat": now, "nonce": nonce})}, "invalid_dpop_proof"},
		"no nonce":                     {proof(map[string]any{"nonce": nil}), "use_dpop_nonce"},
		"made-up nonce":                {proof(map[string]any{"nonce": "AAAA"}), "use_dpop_nonce"},
	} {
		t.Run("D-POP "+name, func(t *testing.T) {
			req := h.request(http.MethodPost, "/token", redeemForm(agent, code).Encode(), "Content-Type", "application/x-www-form-urlencoded")
			req.Header["Dpop"] = tt.proofs
			a := h.do(h.newBrowser(), req)
			wantError(h, name, a, 400, tt.code)
			if a.Header.Get("DPoP-Nonce") != nonce || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("header: %v", a.Header)
			}
		})
	}
	t.Run("D-POP the Host header changes no verdict", func(t *testing.T) {
		req := h.request(http.MethodPost, "/token", redeemForm(agent, code).Encode(), "Content-Type", "application/x-www-form-urlencoded",
			"DPoP", key.Proof("POST", "https://evil.example/token", map[string]any{"nonce": nonce}), "X-Forwarded-Host", "evil.example")
		req.Host = "evil.example"
		wantError(h, "evil host", h.do(h.newBrowser(), req), 400, "invalid_dpop_proof")
	})
	good := proof(nil)[0]
	if a := h.post(h.newBrowser(), "/token", redeemForm(agent, code), "DPoP", good); a.Status != http.StatusOK {
		t.Errorf("the code is spent: %d %s", a.Status, a.Body)
	}
	t.Run("D-POP a proof comes again", func(t *testing.T) {
		fresh := h.code(h.authorizeQuery(agent), john)
		wantError(h, "replay", h.post(h.newBrowser(), "/token", redeemForm(agent, fresh), "DPoP", good), 400, "invalid_dpop_proof")
	})
	t.Run("D-POP a proof is made long before it is used", func(t *testing.T) {
		later := 10 * time.Minute
		ahead := proof(map[string]any{"iat": time.Now().Add(later).Unix()})[0]
		h.wait(later)
		wantError(h, "made ahead", h.post(h.newBrowser(), "/token", redeemForm(agent, "x"), "DPoP", ahead), 400, "use_dpop_nonce")
	})
}

// TestBoundGrants: what is bound to a key is no use without it, and does not
// suffer by others trying.
func TestBoundGrants(t *testing.T) {
	h := newHarness(t)
	agent, key := h.agent(), dpoptest.NewKey(t)
	holder, thief, nobody := h.keyHolder(key), h.keyHolder(dpoptest.NewKey(t)), h.newBrowser()

	t.Run("D-POP a code that was bound at the authorization endpoint is stolen with its verifier", func(t *testing.T) {
		query := h.authorizeQuery(agent)
		query.Set("dpop_jkt", key.Thumbprint())
		form := redeemForm(agent, h.code(query, john))
		wantError(h, "another key", h.post(thief, "/token", form), 400, "invalid_grant")
		wantError(h, "no key", h.post(nobody, "/token", form), 400, "invalid_dpop_proof")
		a := h.post(holder, "/token", form)
		if a.Status != http.StatusOK {
			t.Fatalf("the right key: %d %s", a.Status, a.Body)
		}
		wantError(h, "replay without the key", h.post(thief, "/token", form), 400, "invalid_grant")
		if h.introspected(a.JSON["access_token"].(string))["active"] != true {
			t.Error("somebody without the key ended the grant")
		}
		wantError(h, "replay with the key", h.post(holder, "/token", form), 400, "invalid_grant")
		if h.introspected(a.JSON["access_token"].(string))["active"] != false {
			t.Error("P7 the replayed code's token lives")
		}
	})
	t.Run("D-POP dpop_jkt is not a thumbprint", func(t *testing.T) {
		for _, jkt := range []string{"", "x", key.Thumbprint() + "A", strings.Repeat("/", 43)} {
			query := h.authorizeQuery(agent)
			query.Set("dpop_jkt", jkt)
			wantRedirectError(h, jkt, query, "invalid_request")
		}
		query := h.authorizeQuery(agent)
		query["dpop_jkt"] = []string{key.Thumbprint(), key.Thumbprint()}
		if a := h.get(nobody, "/authorize?"+query.Encode()); a.Status != http.StatusBadRequest {
			t.Errorf("A7 twice: %d", a.Status)
		}
	})
	t.Run("D-POP the refresh token of a public client is stolen", func(t *testing.T) {
		first := h.post(holder, "/token", redeemForm(agent, h.code(h.authorizeQuery(agent), john))).JSON
		stolen := refreshForm(agent, first["refresh_token"])
		wantError(h, "another key", h.post(thief, "/token", stolen), 400, "invalid_grant")
		wantError(h, "no key", h.post(nobody, "/token", stolen), 400, "invalid_dpop_proof")
		second := h.post(holder, "/token", stolen)
		if second.Status != http.StatusOK {
			t.Fatalf("the right key: %d %s", second.Status, second.Body)
		}
		wantError(h, "reuse without the key", h.post(thief, "/token", stolen), 400, "invalid_grant")
		if h.introspected(second.JSON["access_token"].(string))["active"] != true {
			t.Error("somebody without the key ended the grant")
		}
	})
	t.Run("RFC 9449 §5: the refresh token of a confidential client is bound to its credentials", func(t *testing.T) {
		metadata := map[string]any{"redirect_uris": []string{callback}, "token_endpoint_auth_method": "client_secret_post", "grant_types": []string{"authorization_code", "refresh_token"}}
		registered := h.registerRaw(metadata).JSON
		id := registered["client_id"].(string)
		auth := func(form url.Values) url.Values {
			form = maps.Clone(form)
			form.Set("client_secret", registered["client_secret"].(string))
			return form
		}
		first := h.post(holder, "/token", auth(redeemForm(id, h.code(h.authorizeQuery(id), john)))).JSON
		second := h.post(thief, "/token", auth(refreshForm(id, first["refresh_token"])))
		if second.Status != http.StatusOK || second.JSON["token_type"] != "DPoP" {
			t.Fatalf("a new key: %d %s", second.Status, second.Body)
		}
		wantError(h, "no secret", h.post(holder, "/token", refreshForm(id, second.JSON["refresh_token"])), 401, "invalid_client")
	})
	t.Run("D-POP one proof for many codes", func(t *testing.T) {
		nonce := h.dpopNonce(agent)
		proof := key.Proof("POST", h.url("/token"), map[string]any{"nonce": nonce})
		var codes []string
		for range 5 {
			codes = append(codes, h.code(h.authorizeQuery(agent), john))
		}
		var passed atomic.Int64
		var wg sync.WaitGroup
		for _, code := range codes {
			wg.Go(func() {
				if a := h.post(h.newBrowser(), "/token", redeemForm(agent, code), "DPoP", proof); a.Status == http.StatusOK {
					passed.Add(1)
				}
			})
		}
		wg.Wait()
		if passed.Load() != 1 {
			t.Errorf("it was good for %d", passed.Load())
		}
	})
}

// TestBoundTokensAreRequired: a client that registered to want no others gets
// no others (RFC 9449 §5.2).
func TestBoundTokensAreRequired(t *testing.T) {
	h := newHarness(t)
	a := h.registerRaw(map[string]any{
		"redirect_uris": []string{callback}, "token_endpoint_auth_method": "none",
		"grant_types": []string{"authorization_code", "refresh_token"}, "dpop_bound_access_tokens": true,
	})
	if a.Status != http.StatusCreated || a.JSON["dpop_bound_access_tokens"] != true {
		t.Fatalf("register: %d %s", a.Status, a.Body)
	}
	agent := a.JSON["client_id"].(string)
	form := redeemForm(agent, h.code(h.authorizeQuery(agent), john))
	wantError(h, "D-POP downgrade of the code", h.post(h.newBrowser(), "/token", form), 400, "invalid_dpop_proof")
	holder := h.keyHolder(dpoptest.NewKey(t))
	tokens := h.post(holder, "/token", form)
	if tokens.Status != http.StatusOK || tokens.JSON["token_type"] != "DPoP" {
		t.Fatalf("token: %d %s", tokens.Status, tokens.Body)
	}
	wantError(h, "D-POP downgrade of the refresh token", h.post(h.newBrowser(), "/token", refreshForm(agent, tokens.JSON["refresh_token"])), 400, "invalid_dpop_proof")
}

// TestProofWhereNoneIsLookedAt: a grant whose tokens are not bound says so.
func TestProofWhereNoneIsLookedAt(t *testing.T) {
	h := newHarness(t)
	agent, key := h.agent(), dpoptest.NewKey(t)
	jwt := h.phantom(h.tokens(agent, john).JSON["access_token"].(string))
	proof := key.Proof("POST", h.url("/token"), map[string]any{"nonce": h.dpopNonce(agent)})
	wantError(h, "exchange", h.post(h.newBrowser(), "/token", exchangeForm(jwt, h.cfg.APIResource()), append(basic("stocksmcp"), "DPoP", proof)...), 400, "invalid_request")
	wantError(h, "unknown grant", h.post(h.newBrowser(), "/token", url.Values{"client_id": {agent}, "grant_type": {"password"}}, "DPoP", proof), 400, "unsupported_grant_type")
	wantError(h, "the client comes first", h.post(h.newBrowser(), "/token", redeemForm("nobody", "x"), "DPoP", "x"), 401, "invalid_client")
}

// TestDPoPIsAdvertised, and pages of known origins can use it.
func TestDPoPIsAdvertised(t *testing.T) {
	h := newHarness(t)
	got := h.get(h.newBrowser(), "/.well-known/oauth-authorization-server").JSON["dpop_signing_alg_values_supported"]
	if want := []any{"ES256", "EdDSA", "RS256", "PS256"}; !cmp.Equal(got, any(want)) {
		t.Errorf("algorithms: %v", got)
	}
	agent := h.agent()
	for _, alg := range got.([]any) {
		holder := h.keyHolder(dpoptest.NewKeyFor(t, alg.(string)))
		if a := h.post(holder, "/token", redeemForm(agent, h.code(h.authorizeQuery(agent), john))); a.JSON["token_type"] != "DPoP" {
			t.Errorf("%s is advertised and not served: %d %s", alg, a.Status, a.Body)
		}
	}
	preflight := h.do(h.newBrowser(), h.request(http.MethodOptions, "/token", "", "Origin", "http://localhost:6274",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "dpop"))
	if !slices.Contains(strings.Split(strings.ToLower(fmt.Sprint(preflight.Header["Access-Control-Allow-Headers"])), ","), "[dpop]") {
		t.Errorf("preflight: %v", preflight.Header)
	}
	a := h.post(h.newBrowser(), "/token", redeemForm(agent, "x"), "DPoP", dpoptest.NewKey(t).Proof("POST", h.url("/token"), nil), "Origin", "http://localhost:6274")
	if !strings.Contains(strings.ToLower(a.Header.Get("Access-Control-Expose-Headers")), "dpop-nonce") {
		t.Errorf("a page cannot read the nonce: %v", a.Header)
	}
}

// TestNonceCostsNoAssertion: a client that signs assertions as well as proofs
// needs no second assertion when it is told which nonce to use.
func TestNonceCostsNoAssertion(t *testing.T) {
	h, key := newHarness(t), ecKey()
	client := h.keyClient(nil, key)
	for path, form := range map[string]url.Values{"/token": redeemForm("", "unknown"), "/par": h.authorizeQuery(client)} {
		form = asserted(form, key.sign(h.assertion(client), nil))
		proof := func(nonce any) string {
			return dpoptest.NewKey(t).Proof("POST", h.url(path), map[string]any{"nonce": nonce})
		}
		first := h.post(h.newBrowser(), path, form, "DPoP", proof(nil))
		wantError(h, path+" no nonce", first, 400, "use_dpop_nonce")
		wantError(h, path+" another nonce", h.post(h.newBrowser(), path, form, "DPoP", proof("AAAA")), 400, "use_dpop_nonce")
		again := h.post(h.newBrowser(), path, form, "DPoP", proof(first.Header.Get("DPoP-Nonce")))
		if again.Status != http.StatusCreated && again.JSON["error"] != "invalid_grant" { // it was let in
			t.Errorf("%s with the nonce: %d %s", path, again.Status, again.Body)
		}
		// The nonce alone lets nobody in, and now the assertion is used up.
		wantError(h, path+" again", h.post(h.newBrowser(), path, form, "DPoP", proof(first.Header.Get("DPoP-Nonce"))), 401, "invalid_client")
		wantError(h, path+" no proof at all", h.post(h.newBrowser(), path, form, "DPoP", "x"), 401, "invalid_client")
	}
}
