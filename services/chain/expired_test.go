package chain_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/grants"
)

// TestExpiredToken: the row of X11 that no sign-in gets within the time that a
// test has. The other kinds of token are in TestAudienceMatrix.
func TestExpiredToken(t *testing.T) {
	gone, good := &user{region: "USA", ago: grants.AccessLifetime}, &user{region: "USA", ago: grants.AccessLifetime - time.Minute}
	c := startChain(t, []*user{gone, good})
	hops := map[string]func(u *user) (status int, answer string, err error){
		"mcp host": func(u *user) (int, string, error) {
			return c.do(t.Context(), http.MethodPost, c.MCPResource(), u.mcp, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		},
		"api host": func(u *user) (int, string, error) {
			return c.do(t.Context(), http.MethodGet, c.APIResource()+"/stocks", u.api, "")
		},
		"/introspect": func(u *user) (int, string, error) {
			return c.post(t.Context(), "gateway", "/introspect", url.Values{"token": {u.mcp}})
		},
		"exchange subject": func(u *user) (int, string, error) {
			return c.post(t.Context(), "stocksmcp", "/token", url.Values{
				"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
				"subject_token": {u.mcp}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "resource": {c.APIResource()},
			})
		},
	}
	for name, show := range hops {
		t.Run(name, func(t *testing.T) {
			status, answer, err := show(good)
			if err != nil || status != http.StatusOK || strings.Contains(answer, `"active":false`) {
				t.Errorf("a token in its last minute: %d %s %v", status, answer, err)
			}
			status, answer, err = show(gone)
			if err != nil || status == http.StatusOK && strings.TrimSpace(answer) != `{"active":false}` || status >= http.StatusInternalServerError {
				t.Errorf("an expired token: %d %s %v", status, answer, err)
			}
		})
	}
}
