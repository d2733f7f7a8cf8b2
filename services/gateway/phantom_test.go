package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const mcpMetadata = "https://mcp.demo.localhost:8443/.well-known/oauth-protected-resource"

func TestTokenIsSwapped(t *testing.T) {
	d := start(t)
	jwt := d.issue("opaque-1", nil)
	for name, header := range map[string]string{
		"as usual":                "Bearer opaque-1",
		"G3 scheme in lower case": "bearer opaque-1",
		"two spaces":              "Bearer  opaque-1",
	} {
		t.Run(name, func(t *testing.T) {
			resp, _ := d.do(t, "POST", testSite.MCPResource(), "{}", "Authorization", header, "Cookie", "a=b", "Mcp-Method", "tools/list")
			seen := d.mcp.taken()
			if resp.StatusCode != http.StatusOK || len(seen) != 1 {
				t.Fatalf("got %d and %d requests, want 200 and 1", resp.StatusCode, len(seen))
			}
			if got := seen[0].Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+jwt {
				t.Errorf("the service got %q, want the JWT", got)
			}
			if seen[0].Header.Get("Mcp-Method") != "tools/list" {
				t.Error("a header of the protocol got lost")
			}
			if all := fmt.Sprint(seen[0].Header, seen[0].RequestURI); strings.Contains(all, "opaque-1") || seen[0].Header["Cookie"] != nil {
				t.Errorf("the inbound token or cookie travelled on: %s", all)
			}
		})
	}
	if d.asked() != 1 {
		t.Error("the answer of introspection was not cached")
	}
	lines := d.logLines("token")
	if len(lines) != 3 || lines[0]["decision"] != "allow" || lines[0]["sub"] != "john" || lines[0]["client_id"] != "agent" ||
		lines[0]["cached"] != false || lines[2]["cached"] != true || lines[0]["request_id"] == nil {
		t.Errorf("decisions logged: %v", lines)
	}
	if log := d.log.String(); strings.Contains(log, "opaque-1") || strings.Contains(log, jwt) || strings.Contains(log, testSecret) {
		t.Errorf("G16 a secret was logged:\n%s", log)
	}
}

func TestTokenIsRefused(t *testing.T) {
	d := start(t)
	jwt := d.issue("good", nil)
	d.issue("for-api", map[string]any{"aud": testSite.APIResource()})
	d.issue("for-both", map[string]any{"aud": []string{testSite.MCPResource(), testSite.APIResource()}})
	d.issue("for-alias", map[string]any{"aud": strings.TrimSuffix(testSite.MCPResource(), "/")})
	d.issue("for-nobody", map[string]any{"aud": nil})
	d.issue("expired", map[string]any{"exp": time.Now().Add(-time.Second).Unix()})
	d.issue("no-expiry", map[string]any{"exp": nil})
	d.issue("no-scope", map[string]any{"scope": nil})
	d.issue("wrong-scope", map[string]any{"scope": "stocks/reader openid stocks/"})
	d.answer("id-token", answerWith(200, "application/jwt", testJWT("JWT", nil)))

	none := []string{
		`Bearer scope="stocks/read", resource_metadata="` + mcpMetadata + `"`,
		`DPoP algs="ES256 EdDSA RS256 PS256", scope="stocks/read", resource_metadata="` + mcpMetadata + `"`,
	}
	type header []string
	tests := map[string]struct {
		query  string
		header header
		status int
		code   string // error of the challenge
		asked  int    // questions to the authorization server
	}{
		"C1 no token":                  {"", nil, 401, "", 0},
		"empty header":                 {"", header{""}, 401, "", 0},
		"G3 two headers":               {"", header{"Bearer good", "Bearer good"}, 400, "invalid_request", 0},
		"G3 two headers, one of Basic": {"", header{"Basic Z29vZDpnb29k", "Bearer good"}, 400, "invalid_request", 0},
		"G3 comma":                     {"", header{"Bearer good, Bearer good"}, 400, "invalid_request", 0},
		"G3 comma without space":       {"", header{"Bearer good,good"}, 400, "invalid_request", 0},
		"G3 two words":                 {"", header{"Bearer good good"}, 400, "invalid_request", 0},
		"G3 scheme alone":              {"", header{"Bearer"}, 400, "invalid_request", 0},
		"G3 Basic":                     {"", header{"Basic Z29vZDpnb29k"}, 401, "", 0},
		"G3 Basic, then Bearer":        {"", header{"Basic Z29vZA==, Bearer good"}, 401, "", 0},
		"G3 DPoP":                      {"", header{"DPoP good"}, 401, "invalid_token", 1},
		"G3 tab":                       {"", header{"Bearer\tgood"}, 401, "", 0},
		"no scheme":                    {"", header{"good"}, 401, "", 0},
		"quoted":                       {"", header{`Bearer "good"`}, 400, "invalid_request", 0},
		"not ASCII":                    {"", header{"Bearer göod"}, 400, "invalid_request", 0},
		"too long":                     {"", header{"Bearer " + strings.Repeat("a", 513)}, 401, "invalid_token", 0},
		"G4 in the query":              {"access_token=good", nil, 401, "", 0},
		"G4 in the query, encoded":     {"%61ccess_token=good", nil, 401, "", 0},
		"G4 in query and header":       {"access_token=good", header{"Bearer good"}, 400, "invalid_request", 0},
		"G5 the JWT itself":            {"", header{"Bearer " + jwt}, 401, "invalid_token", 0},
		"unknown":                      {"", header{"Bearer unknown"}, 401, "invalid_token", 1},
		"for another resource":         {"", header{"Bearer for-api"}, 401, "invalid_token", 1},
		"for two resources":            {"", header{"Bearer for-both"}, 401, "invalid_token", 1},
		"for another form of the name": {"", header{"Bearer for-alias"}, 401, "invalid_token", 1},
		"for nobody":                   {"", header{"Bearer for-nobody"}, 401, "invalid_token", 1},
		"expired":                      {"", header{"Bearer expired"}, 401, "invalid_token", 1},
		"without expiry":               {"", header{"Bearer no-expiry"}, 401, "invalid_token", 1},
		"an ID token":                  {"", header{"Bearer id-token"}, 401, "invalid_token", 1},
		"C1 without scope":             {"", header{"Bearer no-scope"}, 403, "insufficient_scope", 1},
		"C1 scope that looks alike":    {"", header{"Bearer wrong-scope"}, 403, "insufficient_scope", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d.asked()
			var headers []string
			for _, h := range tt.header {
				headers = append(headers, "Authorization", h)
			}
			resp, body := d.do(t, "POST", testSite.MCPResource()+"?"+tt.query, "access_token=good", append(headers, "Content-Type", "application/x-www-form-urlencoded")...)
			challenges := resp.Header.Values("WWW-Authenticate")
			if resp.StatusCode != tt.status || len(challenges) != 2 {
				t.Fatalf("got %d and challenges %q, want %d and two", resp.StatusCode, challenges, tt.status)
			}
			for i, challenge := range challenges {
				if tt.code == "" && challenge != none[i] {
					t.Errorf("challenge: got  %s\nwant %s", challenge, none[i])
				}
				if tt.code != "" && (!strings.Contains(challenge, ` error="`+tt.code+`"`) ||
					!strings.Contains(challenge, `scope="stocks/read"`) || !strings.Contains(challenge, `resource_metadata="`+mcpMetadata+`"`)) {
					t.Errorf("challenge: got %s, want error %s", challenge, tt.code)
				}
			}
			var answer map[string]string
			if err := json.Unmarshal([]byte(body), &answer); err != nil || answer["error"] == "" || answer["error_description"] == "" {
				t.Errorf("body: %s", body)
			}
			if got := resp.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control: %q", got)
			}
			if got := d.asked(); got != tt.asked {
				t.Errorf("the authorization server was asked %d times, want %d", got, tt.asked)
			}
			if n := d.forwarded(); n != 0 {
				t.Errorf("%d requests were forwarded", n)
			}
		})
	}
	if log := d.log.String(); strings.Contains(log, `"good"`) || strings.Contains(log, "access_token") || strings.Contains(log, jwt) {
		t.Errorf("G4, G16 a token was logged:\n%s", log)
	}
}

// TestSameAnswerForEveryBadToken keeps the challenge from telling why.
func TestSameAnswerForEveryBadToken(t *testing.T) {
	d := start(t)
	d.issue("expired", map[string]any{"exp": time.Now().Add(-time.Second).Unix()})
	d.issue("for-api", map[string]any{"aud": testSite.APIResource()})
	want, wantBody := d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer unknown")
	for _, token := range []string{"expired", "for-api", testJWT("at+jwt", nil), strings.Repeat("a", 600)} {
		got, body := d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer "+token)
		if got.Header.Get("WWW-Authenticate") != want.Header.Get("WWW-Authenticate") || body != wantBody {
			t.Errorf("%.20s: the answer differs from that for an unknown token: %s", token, body)
		}
	}
}

// FuzzAuthorizationHeader checks that whatever is read as a token is one that
// may be sent on: no separators, bounded, not a JWT.
func FuzzAuthorizationHeader(f *testing.F) {
	for _, seed := range []string{"Bearer a", "dpop a", "bearer  a==", "Bearer a b", "Bearer a,b", "Basic eA==", "", "Bearer", "Bearer \x00", "Bearer a.b.c", "Bearer =a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, bad := bearerToken([]string{header})
		if bad != nil {
			if token != "" {
				t.Errorf("%q: refused, and returned %q", header, token)
			}
			return
		}
		scheme, _, _ := strings.Cut(header, " ")
		if token == "" || len(token) > maxToken || strings.ContainsAny(token, " ,;\"'\\\r\n\t\x00") || strings.Count(token, ".") > 1 ||
			!strings.HasSuffix(header, " "+token) || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "DPoP") {
			t.Errorf("%q: read as %q", header, token)
		}
	})
}
