package chain_test

import (
	"net/http"
	"strings"
	"testing"
)

// BenchmarkToolCall is a whole authorized call of a tool: client, gateway, MCP
// server and API, all in this process. It is there to be profiled:
//
//	go test -run '^$' -bench ToolCall -cpuprofile cpu.prof ./chain
//
// What each service takes by itself, and what other programs take for the like,
// is measured by `make bench-gateway`.
func BenchmarkToolCall(b *testing.B) {
	u := &user{region: "USA"}
	c := startChain(b, []*user{u})
	b.ReportAllocs()
	for b.Loop() {
		status, answer, err := c.do(b.Context(), http.MethodPost, c.MCPResource(), u.mcp,
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fetch-stock-prices","arguments":{}}}`)
		if err != nil || status != http.StatusOK || !strings.Contains(answer, `"region":"USA"`) {
			b.Fatal(status, answer, err)
		}
	}
}
