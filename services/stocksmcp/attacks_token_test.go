package stocksmcp

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/revocation"
	"demo.example/services/internal/token"
	"demo.example/services/internal/token/tokentest"
)

// TestTokenAttacks: attacks J1, J2, J3, J4, J5, J7, J9, J10 and J11, over the
// network at the MCP server.
func TestTokenAttacks(t *testing.T) {
	tokentest.Attack(t, tokentest.Service{
		Issuer: testSite.Issuer(), Audience: testSite.MCPResource(),
		Handler: func(v *token.Verifier) http.Handler {
			log := slog.New(slog.DiscardHandler)
			return routes(testSite, v, newMCPServer(&completeSymbols{nil, log}, &fetchStockPrices{nil, log}), revocation.NewWatch(exchangeTTL, time.Now), audit.Discard, log)
		},
		Request: func(url string) *http.Request {
			r, err := http.NewRequest(http.MethodPost, url+"/", strings.NewReader(
				`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+meta+`}}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = modern(map[string]string{"Mcp-Method": "tools/list", "Mcp-Name": ""})
			return r
		},
	})
}
