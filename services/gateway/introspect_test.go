package gateway

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestOnlyTheAuthorizationServersWordCounts has introspection answer in every
// way but the two right ones: each is an outage, none is a bad token.
func TestOnlyTheAuthorizationServersWordCounts(t *testing.T) {
	d := start(t)
	jwt := testJWT("at+jwt", nil)
	tests := map[string]http.HandlerFunc{
		"G6 500":                      answerWith(500, "text/plain", "oops"),
		"G6 503":                      answerWith(503, "application/json", `{"active":false}`),
		"G6 401, our own credentials": answerWith(401, "application/json", `{"error":"invalid_client"}`),
		"G6 403":                      answerWith(403, "application/json", `{"active":false}`),
		"G6 204":                      answerWith(204, "application/jwt", ""),
		"G6 JWT with another status":  answerWith(201, "application/jwt", jwt),
		"G6 redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/jwt", http.StatusTemporaryRedirect)
		},
		"G6 HTML":                       answerWith(200, "text/html", "<p>Sign in to the Wi-Fi</p>"),
		"G6 JWT that says it is HTML":   answerWith(200, "text/html", jwt),
		"G6 RFC 9701":                   answerWith(200, "application/token-introspection+jwt", jwt),
		"G6 no type":                    answerWith(200, "", jwt),
		"G6 active missing":             answerWith(200, "application/json", `{}`),
		"G6 active is a string":         answerWith(200, "application/json", `{"active":"true"}`),
		"G6 active is the string false": answerWith(200, "application/json", `{"active":"false"}`),
		"G6 active is null":             answerWith(200, "application/json", `{"active":null}`),
		"G6 active is zero":             answerWith(200, "application/json", `{"active":0}`),
		"G6 active, without the JWT":    answerWith(200, "application/json", `{"active":true,"sub":"john"}`),
		"G6 not an object":              answerWith(200, "application/json", `false`),
		"G6 cut off":                    answerWith(200, "application/json", `{"active":false`),
		"G6 empty":                      answerWith(200, "application/jwt", ""),
		"G6 not a JWT":                  answerWith(200, "application/jwt", "opaque"),
		"G6 JWT of nonsense":            answerWith(200, "application/jwt", "a.b.c"),
		"G6 header injection":           answerWith(200, "application/jwt", jwt+"\r\nX-User: root"),
		"G6 JWT and a line break":       answerWith(200, "application/jwt", jwt+"\n"),
		"G6 large JWT":                  answerWith(200, "application/jwt", jwt+strings.Repeat("a", 9<<10)),
		"G6 10 MB":                      answerWith(200, "application/json", `{"active":false,"x":"`+strings.Repeat("a", 10<<20)+`"}`),
		"G6 hangs up": func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		},
		"G6 says nothing": func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done() // until the gateway gives up
		},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			token := rand.Text()
			d.answer(token, answer)
			start := time.Now()
			resp, body := d.do(t, "POST", testSite.MCPResource(), "{}", "Authorization", "Bearer "+token)
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("got %d %v, want 503 with Retry-After", resp.StatusCode, resp.Header)
			}
			if got := resp.Header.Get("Content-Type"); got != "application/problem+json" || strings.Contains(body, d.login.URL) {
				t.Errorf("got %s %s, want a problem that names no address", got, body)
			}
			if took := time.Since(start); took > 2*lookupTimeout {
				t.Errorf("took %s", took)
			}
			if n := d.forwarded(); n != 0 {
				t.Errorf("%d requests were forwarded", n)
			}
			// An outage is forgotten at once: it was not cached.
			d.issue(token, nil)
			if resp, _ := d.do(t, "POST", testSite.MCPResource(), "{}", "Authorization", "Bearer "+token); resp.StatusCode != http.StatusOK {
				t.Errorf("after the outage: got %d", resp.StatusCode)
			}
			d.forwarded()
		})
	}
	if d.wrongSecret != 0 {
		t.Errorf("%d introspections came without the right credentials", d.wrongSecret)
	}
	if len(d.logLines("token")) == 0 || strings.Contains(d.log.String(), testSecret) {
		t.Error("outages are not logged, or with a secret")
	}
}

// TestAuthorizationServerDown shows the difference that must not get lost
// between an outage and an expired login.
func TestAuthorizationServerDown(t *testing.T) {
	d := start(t)
	d.login.Close()
	resp, _ := d.do(t, "POST", testSite.MCPResource(), "{}", "Authorization", "Bearer token")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %d, want 503 with Retry-After", resp.StatusCode)
	}
	resp, _ = d.do(t, "POST", testSite.MCPResource(), "{}")
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: got %d, want 401 as ever", resp.StatusCode)
	}
}
