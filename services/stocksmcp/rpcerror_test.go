package stocksmcp

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRPCErrors: attack C4. In both eras what is refused for what the message
// is, is refused in JSON-RPC, with the id of the request where it has one. An id
// comes back as it was, or the request is refused.
func TestRPCErrors(t *testing.T) {
	type refusal struct {
		Status int
		Code   any // nil when the answer is a result
		ID     any
	}
	const list = `"method":"tools/list","params":{` + meta + `}}`
	c := newChain(t)
	for _, era := range eras {
		unknown := http.StatusNotFound // so it is specified for the newer era; in the older one a session would be over
		if era < statelessEra {
			unknown = http.StatusOK
		}
		tests := map[string]struct {
			body string
			want refusal
		}{
			"number":                    {`{"jsonrpc":"2.0","id":7,` + list, refusal{200, nil, 7.0}},
			"largest number":            {`{"jsonrpc":"2.0","id":9007199254740992,` + list, refusal{200, nil, 9007199254740992.0}},
			"smallest number":           {`{"jsonrpc":"2.0","id":-9007199254740992,` + list, refusal{200, nil, -9007199254740992.0}},
			"string":                    {`{"jsonrpc":"2.0","id":"9007199254740993",` + list, refusal{200, nil, "9007199254740993"}},
			"beyond 53 bits":            {`{"jsonrpc":"2.0","id":9007199254740993,` + list, refusal{400, -32600.0, nil}},
			"beyond 53 bits below zero": {`{"jsonrpc":"2.0","id":-9007199254740993,` + list, refusal{400, -32600.0, nil}},
			"beyond 64 bits":            {`{"jsonrpc":"2.0","id":18446744073709551616,` + list, refusal{400, -32600.0, nil}},
			"fraction":                  {`{"jsonrpc":"2.0","id":1.5,` + list, refusal{400, -32600.0, nil}},
			"exponent":                  {`{"jsonrpc":"2.0","id":1e300,` + list, refusal{400, -32600.0, nil}},
			"null":                      {`{"jsonrpc":"2.0","id":null,` + list, refusal{400, -32600.0, nil}},
			"object":                    {`{"jsonrpc":"2.0","id":{"a":1},` + list, refusal{400, -32600.0, nil}},
			"truth":                     {`{"jsonrpc":"2.0","id":true,` + list, refusal{400, -32600.0, nil}},
			"no id":                     {`{"jsonrpc":"2.0",` + list, refusal{400, -32600.0, nil}},
			"id of a notification":      {`{"jsonrpc":"2.0","id":7,"method":"notifications/initialized"}`, refusal{400, -32600.0, 7.0}},
			"answer without an id":      {`{"jsonrpc":"2.0","result":{}}`, refusal{400, -32600.0, nil}},
			"JSON-RPC 1.0":              {`{"jsonrpc":"1.0","id":7,` + list, refusal{400, -32600.0, 7.0}},
			"unknown method":            {`{"jsonrpc":"2.0","id":7,"method":"stocks/steal","params":{` + meta + `}}`, refusal{unknown, -32601.0, 7.0}},
			"unknown notification":      {`{"jsonrpc":"2.0","method":"notifications/steal","params":{` + meta + `}}`, refusal{400, -32601.0, nil}},
			"broken off":                {`{"jsonrpc":`, refusal{400, -32700.0, nil}},
			"nothing":                   {``, refusal{400, -32700.0, nil}},
			"not UTF-8":                 {"{\"jsonrpc\":\"\xff\"}", refusal{400, -32700.0, nil}},
			"two messages":              {`{"jsonrpc":"2.0","id":7,` + list + `{}`, refusal{400, -32700.0, nil}},
			"batch":                     {`[{"jsonrpc":"2.0","id":7,` + list + `]`, refusal{400, -32600.0, nil}},
		}
		for name, tt := range tests {
			t.Run(era+" "+name, func(t *testing.T) {
				headers := modern(map[string]string{"Mcp-Method": "tools/list", "Mcp-Name": ""})
				if era < statelessEra {
					headers = modern(map[string]string{"MCP-Protocol-Version": era, "Mcp-Method": "", "Mcp-Name": ""})
					tt.body = strings.Replace(tt.body, meta, "", 1)
				}
				resp, answer := c.request(t, http.MethodPost, tt.body, headers)
				m := message(t, resp, answer)
				rpcError, _ := m["error"].(map[string]any)
				if diff := cmp.Diff(tt.want, refusal{resp.StatusCode, rpcError["code"], m["id"]}); diff != "" {
					t.Errorf("%s (-want +got):\n%s", answer, diff)
				}
				if rpcError != nil && (rpcError["message"] == "" || resp.Header.Get("Content-Type") != "application/json") {
					t.Errorf("%s %s", resp.Header.Get("Content-Type"), answer)
				}
			})
		}
	}
}
