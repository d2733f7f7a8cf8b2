package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"demo.example/services/internal/dpop/dpoptest"
)

const apiURL = "https://api.demo.localhost:8443/stocks"

// bind makes token active and bound to a key, for the API.
func (d *deployment) bind(token string, key *dpoptest.Key) string {
	return d.issue(token, map[string]any{"aud": testSite.APIResource(), "cnf": map[string]any{"jkt": key.Thumbprint()}})
}

// nonce asks for one as a client does that has none.
func (d *deployment) nonce(t *testing.T, token string, key *dpoptest.Key) string {
	t.Helper()
	resp, _ := d.do(t, "GET", apiURL, "", "Authorization", "DPoP "+token, "DPoP", key.Proof("GET", apiURL, map[string]any{"ath": dpoptest.HashOf(token)}))
	nonce := resp.Header.Get("DPoP-Nonce")
	if resp.StatusCode != http.StatusUnauthorized || nonce == "" || !strings.Contains(fmt.Sprint(resp.Header["Www-Authenticate"]), `DPoP error="use_dpop_nonce"`) {
		t.Fatalf("a proof without nonce: %d %v", resp.StatusCode, resp.Header)
	}
	return nonce
}

// TestBoundToken: a client that does as RFC 9449 says passes, every time with
// a new proof, whether or not the token is in the cache.
func TestBoundToken(t *testing.T) {
	d := start(t, "TOKEN_CACHE_TTL=1m")
	key := dpoptest.NewKey(t)
	jwt := d.bind("bound", key)
	client := &http.Client{Transport: &dpoptest.Transport{Key: key, Base: d.client.Transport}}
	for i, url := range []string{apiURL, apiURL + "/%C3%A9?region=USA&x=%2F", "https://API.demo.localhost:8443/stocks/ACME"} {
		req, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "DPoP bound")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		seen := d.api.taken()
		if resp.StatusCode != http.StatusOK || len(seen) != 1 || len(resp.Header["Dpop-Nonce"]) != 1 {
			t.Fatalf("%s: got %d, %d requests, %v", url, resp.StatusCode, len(seen), resp.Header)
		}
		if got := seen[0].Header; got.Get("Authorization") != "Bearer "+jwt || got["Dpop"] != nil {
			t.Errorf("%d: the service got %v", i, got)
		}
	}
	if n := d.asked(); n != 1 {
		t.Errorf("the authorization server was asked %d times, want once", n)
	}
}

func TestBoundTokenIsRefused(t *testing.T) {
	d := start(t, "TOKEN_CACHE_TTL=1m")
	key, stranger := dpoptest.NewKey(t), dpoptest.NewKey(t)
	d.bind("bound", key)
	d.issue("bearer", map[string]any{"aud": testSite.APIResource()})
	d.issue("by-certificate", map[string]any{"aud": testSite.APIResource(), "cnf": map[string]any{"x5t#S256": "AAAA"}})
	nonce, ath := d.nonce(t, "bound", key), dpoptest.HashOf("bound")
	proof := func(changes map[string]any) []string {
		return []string{key.Proof("GET", apiURL, dpoptest.With(map[string]any{"nonce": nonce, "ath": ath}, changes))}
	}
	used := proof(nil)
	if resp, body := d.do(t, "GET", apiURL, "", "Authorization", "DPoP bound", "DPoP", used[0]); resp.StatusCode != http.StatusOK {
		t.Fatalf("a good proof: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	now := time.Now().Unix()
	tests := map[string]struct {
		authorization string
		proofs        []string
		code          string
		both          bool // it concerns those without a key too
	}{
		"D-POP a stolen token as Bearer, without a proof":      {"Bearer bound", nil, "invalid_token", true},
		"D-POP a stolen token as Bearer, with a good proof":    {"Bearer bound", proof(nil), "invalid_token", true},
		"D-POP a stolen token as DPoP, without a proof":        {"DPoP bound", nil, "invalid_dpop_proof", false},
		"D-POP a stolen token with the thief's own key":        {"DPoP bound", []string{stranger.Proof("GET", apiURL, map[string]any{"nonce": nonce, "ath": ath})}, "invalid_dpop_proof", false},
		"D-POP a bearer token as DPoP":                         {"DPoP bearer", []string{key.Proof("GET", apiURL, map[string]any{"nonce": nonce, "ath": dpoptest.HashOf("bearer")})}, "invalid_token", true},
		"D-POP a token bound to something else, as Bearer":     {"Bearer by-certificate", nil, "invalid_token", true},
		"D-POP a token bound to something else, as DPoP":       {"DPoP by-certificate", proof(map[string]any{"ath": dpoptest.HashOf("by-certificate")}), "invalid_token", true},
		"D-POP an unknown token with a good proof":             {"DPoP unknown", proof(map[string]any{"ath": dpoptest.HashOf("unknown")}), "invalid_token", true},
		"D-POP a proof made for another token":                 {"DPoP bound", proof(map[string]any{"ath": dpoptest.HashOf("bearer")}), "invalid_dpop_proof", false},
		"D-POP a proof made for the token endpoint":            {"DPoP bound", proof(map[string]any{"ath": nil}), "invalid_dpop_proof", false},
		"D-POP a proof made for another method":                {"DPoP bound", proof(map[string]any{"htm": "POST"}), "invalid_dpop_proof", false},
		"D-POP a proof made for another address":               {"DPoP bound", proof(map[string]any{"htu": apiURL + "/ACME"}), "invalid_dpop_proof", false},
		"D-POP a proof made for another resource":              {"DPoP bound", proof(map[string]any{"htu": testSite.MCPResource()}), "invalid_dpop_proof", false},
		"D-POP a proof made for the address behind":            {"DPoP bound", proof(map[string]any{"htu": d.api.URL + "/stocks"}), "invalid_dpop_proof", false},
		"D-POP a proof that is old":                            {"DPoP bound", proof(map[string]any{"iat": now - 70}), "invalid_dpop_proof", false},
		"D-POP a proof made in advance":                        {"DPoP bound", proof(map[string]any{"iat": now + 70}), "invalid_dpop_proof", false},
		"D-POP a proof made before the nonce was known":        {"DPoP bound", proof(map[string]any{"nonce": nil}), "use_dpop_nonce", false},
		"D-POP a proof with the nonce of another server":       {"DPoP bound", proof(map[string]any{"nonce": "AAAAAAAAAAAAAAAAAAAAAA"}), "use_dpop_nonce", false},
		"D-POP a proof that was used":                          {"DPoP bound", used, "invalid_dpop_proof", false},
		"D-POP two proofs":                                     {"DPoP bound", append(proof(nil), proof(nil)...), "invalid_dpop_proof", false},
		"D-POP a proof that is no proof":                       {"DPoP bound", []string{"x"}, "invalid_dpop_proof", false},
		"D-POP a JWT as the proof":                             {"DPoP bound", []string{testJWT("at+jwt", nil)}, "invalid_dpop_proof", false},
		"D-POP the access token JWT, with a good proof":        {"DPoP " + testJWT("at+jwt", nil), proof(nil), "invalid_token", true},
		"D-POP the scheme in other letters changes no verdict": {"dPoP bound", used, "invalid_dpop_proof", false},
	}
	d.forwarded()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			headers := []string{"Authorization", tt.authorization}
			for _, p := range tt.proofs {
				headers = append(headers, "DPoP", p)
			}
			resp, body := d.do(t, "GET", apiURL, "", headers...)
			challenges := resp.Header.Values("WWW-Authenticate")
			if resp.StatusCode != http.StatusUnauthorized || len(challenges) != 2 {
				t.Fatalf("got %d and challenges %q, want 401 and two", resp.StatusCode, challenges)
			}
			if !strings.HasPrefix(challenges[0], "Bearer ") || strings.Contains(challenges[0], "error=") != tt.both {
				t.Errorf("the challenge for bearer tokens: %s", challenges[0])
			}
			if !strings.HasPrefix(challenges[1], `DPoP error="`+tt.code+`", `) || !strings.Contains(challenges[1], `algs="ES256 EdDSA RS256 PS256"`) {
				t.Errorf("the challenge for bound tokens: got %s, want %s", challenges[1], tt.code)
			}
			for _, c := range challenges {
				if !strings.Contains(c, `scope="stocks/read", resource_metadata="https://api.demo.localhost:8443/.well-known/oauth-protected-resource"`) {
					t.Errorf("the challenge does not say where to get a token: %s", c)
				}
			}
			if !strings.Contains(body, `"error":"`+tt.code+`"`) {
				t.Errorf("body: %s", body)
			}
			if got := resp.Header.Get("DPoP-Nonce") != ""; got == tt.both {
				t.Errorf("a nonce: %v", got)
			}
			if n := d.forwarded(); n != 0 {
				t.Errorf("%d requests were forwarded", n)
			}
		})
	}
	if log := d.log.String(); strings.Contains(log, used[0]) || strings.Contains(log, key.Public["x"].(string)) {
		t.Errorf("G16 a proof or a key was logged:\n%s", log)
	}
}

// TestStolenBoundTokenTellsNothing: who tries a token as Bearer does not
// learn that it is good, and bound.
func TestStolenBoundTokenTellsNothing(t *testing.T) {
	d := start(t)
	d.bind("bound", dpoptest.NewKey(t))
	want, wantBody := d.do(t, "GET", apiURL, "", "Authorization", "Bearer unknown")
	got, body := d.do(t, "GET", apiURL, "", "Authorization", "Bearer bound")
	if fmt.Sprint(got.Header["Www-Authenticate"]) != fmt.Sprint(want.Header["Www-Authenticate"]) || body != wantBody {
		t.Errorf("the answers differ: %v %s", got.Header, body)
	}
}

// TestProofIsUsedOnce: of any number of requests with one proof, one passes.
func TestProofIsUsedOnce(t *testing.T) {
	d := start(t, "TOKEN_CACHE_TTL=1m")
	key := dpoptest.NewKey(t)
	d.bind("bound", key)
	proof := key.Proof("GET", apiURL, map[string]any{"nonce": d.nonce(t, "bound", key), "ath": dpoptest.HashOf("bound")})
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if resp, _ := d.do(t, "GET", apiURL, "", "Authorization", "DPoP bound", "DPoP", proof); resp.StatusCode == http.StatusOK {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1 || d.forwarded() != 1 {
		t.Errorf("D-POP the proof passed %d times", passed.Load())
	}
}

// TestReplicasAgreeOnNonces: a nonce that one gateway gave is good at another
// with the same secret.
func TestReplicasAgreeOnNonces(t *testing.T) {
	one, two := start(t), start(t)
	key := dpoptest.NewKey(t)
	one.bind("bound", key)
	two.bind("bound", key)
	proof := key.Proof("GET", apiURL, map[string]any{"nonce": one.nonce(t, "bound", key), "ath": dpoptest.HashOf("bound")})
	if resp, body := two.do(t, "GET", apiURL, "", "Authorization", "DPoP bound", "DPoP", proof); resp.StatusCode != http.StatusOK {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}

// TestProofFromAPage: a page of an allowed origin may send a proof and read
// the nonce.
func TestProofFromAPage(t *testing.T) {
	d := start(t)
	resp, _ := d.do(t, "OPTIONS", apiURL, "", "Origin", "http://localhost:6274", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization,dpop")
	if !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "DPoP") || !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
		t.Errorf("preflight: %d %v", resp.StatusCode, resp.Header)
	}
}

// TestServiceSetsNoNonce: nonces are the gateway's to give.
func TestServiceSetsNoNonce(t *testing.T) {
	d := start(t)
	d.issue("bearer", map[string]any{"aud": testSite.APIResource()})
	d.api.serve(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("DPoP-Nonce", "mine") })
	resp, _ := d.do(t, "GET", apiURL, "", "Authorization", "Bearer bearer")
	if resp.StatusCode != http.StatusOK || resp.Header["Dpop-Nonce"] != nil {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
}

// TestFailedProofsAreCounted: attack D-POP. Who has a token and not its key, or
// presents it as what it is not, is counted with the strangers of the network,
// and uses up nothing of the owner's.
func TestFailedProofsAreCounted(t *testing.T) {
	const quota, requests = 3, 2
	key, thief := dpoptest.NewKey(t), dpoptest.NewKey(t)
	for name, tt := range map[string]struct {
		authorization string
		key           *dpoptest.Key // of the proof; nil: none
	}{
		"a bearer token as DPoP":   {"DPoP bearer", nil},
		"a bound token as Bearer":  {"Bearer bound", nil},
		"a bound token, no proof":  {"DPoP bound", nil},
		"a bound token, other key": {"DPoP bound", thief},
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t, fmt.Sprintf("REFUSALS_PER_IP=%d", quota), fmt.Sprintf("REQUESTS_PER_USER=%d", requests+1), "TOKEN_CACHE_TTL=1m")
			d.bind("bound", key)
			d.issue("bearer", map[string]any{"aud": testSite.APIResource(), "sub": "jane"})
			for _, token := range []string{"Bearer bearer", "DPoP bound"} { // known from here on
				d.do(t, "GET", apiURL, "", "Authorization", token, "DPoP", key.Proof("GET", apiURL, map[string]any{"ath": dpoptest.HashOf("bound")}))
			}
			for i := range 2 * quota {
				headers := []string{"Authorization", tt.authorization}
				if tt.key != nil {
					headers = append(headers, "DPoP", tt.key.Proof("GET", apiURL, map[string]any{"ath": dpoptest.HashOf("bound")}))
				}
				resp, _ := d.do(t, "GET", apiURL, "", headers...)
				want, left := http.StatusUnauthorized, ""
				if i >= quota {
					want, left = http.StatusTooManyRequests, `"address";r=0;t=20`
				}
				if resp.StatusCode != want || resp.Header.Get("RateLimit") != left {
					t.Errorf("D-POP %d: got %d, RateLimit %q, want %d %q", i, resp.StatusCode, resp.Header.Get("RateLimit"), want, left)
				}
			}
			client := &http.Client{Transport: &dpoptest.Transport{Key: key, Base: d.client.Transport}}
			for i := range requests - 1 { // and one more for the nonce
				req, err := http.NewRequest("GET", apiURL, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "DPoP bound")
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("D-POP the owner's request %d: got %d", i, resp.StatusCode)
				}
			}
		})
	}
}

// TestProofsAboveTheQuota: above it none is judged, and so none is remembered.
func TestProofsAboveTheQuota(t *testing.T) {
	d := start(t, "REQUESTS_PER_USER=2", "TOKEN_CACHE_TTL=1m")
	key := dpoptest.NewKey(t)
	d.bind("bound", key)
	nonce := d.nonce(t, "bound", key)
	for i, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
		proof := key.Proof("GET", apiURL, map[string]any{"nonce": nonce, "ath": dpoptest.HashOf("bound")})
		if resp, _ := d.do(t, "GET", apiURL, "", "Authorization", "DPoP bound", "DPoP", proof); resp.StatusCode != want {
			t.Errorf("D-POP request %d: got %d, want %d", i, resp.StatusCode, want)
		}
	}
	if resp, _ := d.do(t, "GET", apiURL, "", "Authorization", "DPoP bound", "DPoP", "x"); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("D-POP what is no proof: got %d, want that nobody looks at it", resp.StatusCode)
	}
}
