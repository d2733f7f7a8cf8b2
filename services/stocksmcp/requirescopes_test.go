package stocksmcp

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/services/internal/token"
)

const orderBody = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"place-order",` +
	`"arguments":{"symbol":"ALDP","side":"buy","quantity":1,"limit_price":"400"},` + meta + `}}`

// TestStepUp: attacks C1 and C3. What needs more scope is challenged with all
// that it needs, as the body says it and whatever the headers say; a body that
// says it in two ways is refused. Nothing of either reaches a tool.
func TestStepUp(t *testing.T) {
	const challenge = `Bearer error="insufficient_scope", scope="stocks/read stocks/trade", ` +
		`resource_metadata="https://mcp.demo.localhost:8443/.well-known/oauth-protected-resource"`
	old := modern(map[string]string{"MCP-Protocol-Version": "2025-11-25", "Mcp-Method": "", "Mcp-Name": ""})
	lying := modern(map[string]string{"MCP-Protocol-Version": "2025-11-25"}) // Mcp-Name says fetch-stock-prices
	oldest := modern(map[string]string{"MCP-Protocol-Version": "2025-03-26", "Mcp-Method": "", "Mcp-Name": ""})
	order := modern(map[string]string{"Mcp-Name": "place-order"})
	body := func(members string) string { return `{"jsonrpc":"2.0","id":7,` + members + `}` }
	tests := map[string]struct {
		headers http.Header
		body    string
		status  int
	}{
		"newer era":                   {order, orderBody, 403},
		"older era":                   {old, body(`"method":"tools/call","params":{"name":"place-order"}`), 403},
		"a header that lies":          {lying, body(`"method":"tools/call","params":{"name":"place-order"}`), 403},
		"a header that lies, newer":   {modern(nil), orderBody, 403},
		"params before method":        {old, body(`"params":{"arguments":{},"name":"place-order"},"method":"tools/call"`), 403},
		"written with escapes":        {old, body(`"meth\u006fd":"tools\/call","params":{"nam\u0065":"place\u002dorder"}`), 403},
		"name twice":                  {old, body(`"method":"tools/call","params":{"name":"place-order","name":"get-stock"}`), 400},
		"name twice, other order":     {old, body(`"method":"tools/call","params":{"name":"get-stock","name":"place-order"}`), 400},
		"name twice, once escaped":    {old, body(`"method":"tools/call","params":{"name":"get-stock","n\u0061me":"place-order"}`), 400},
		"method twice":                {old, body(`"method":"tools/list","method":"tools/call","params":{"name":"place-order"}`), 400},
		"params twice":                {old, body(`"method":"tools/call","params":{"name":"get-stock"},"params":{"name":"place-order"}`), 400},
		"argument twice":              {old, body(`"method":"tools/call","params":{"name":"get-stock","arguments":{"symbol":"A","symbol":"B"}}`), 400},
		"Name":                        {old, body(`"method":"tools/call","params":{"name":"get-stock","Name":"place-order"}`), 400},
		"Name alone":                  {old, body(`"method":"tools/call","params":{"Name":"place-order"}`), 400},
		"METHOD":                      {old, body(`"METHOD":"tools/call","method":"tools/list","params":{"name":"place-order"}`), 400},
		"Params":                      {old, body(`"method":"tools/call","params":{"name":"get-stock"},"Params":{"name":"place-order"}`), 400},
		"long s instead of s":         {old, body(`"method":"tools/call","params":{"name":"get-stock"},"param\u017f":{"name":"place-order"}`), 400},
		"name is no string":           {old, body(`"method":"tools/call","params":{"name":["place-order"]}`), 400},
		"batch":                       {oldest, `[` + body(`"method":"tools/call","params":{"name":"place-order"}`) + `]`, 400},
		"batch, newer era":            {order, `[` + orderBody + `]`, 400},
		"batch of one that may":       {oldest, `[` + body(`"method":"tools/list"`) + `]`, 400},
		"two messages":                {old, body(`"method":"tools/list"`) + body(`"method":"tools/call","params":{"name":"place-order"}`), 400},
		"not JSON":                    {old, `place-order`, 400},
		"nothing":                     {old, ``, 400},
		"null":                        {old, `null`, 400},
		"broken off":                  {old, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"place-order"`, 400},
		"not UTF-8":                   {old, body(`"method":"tools/call","params":{"name":"place-order` + "\xff" + `"}`), 400},
		"nested without end":          {old, body(`"method":"tools/call","params":{"name":"get-stock","arguments":` + strings.Repeat(`{"a":`, 10_000)), 400},
		"arrays without end":          {old, body(`"method":"tools/call","params":{"name":"get-stock","arguments":` + strings.Repeat(`[`, 10_000)), 400},
		"another tool":                {modern(nil), callBody, 200},
		"place-order as a prompt":     {old, body(`"method":"prompts/get","params":{"name":"place-order"}`), 200},
		"place-order as a value":      {old, body(`"method":"tools/call","params":{"name":"get-stock","arguments":{"symbol":"place-order"}}`), 200},
		"name in another object":      {old, body(`"method":"tools/call","params":{"name":"get-stock","arguments":{"symbol":"ALDP"},"_meta":{"name":"place-order"}}`), 200},
		"another case is another one": {old, body(`"method":"tools/call","params":{"name":"Place-Order"}`), 200},
	}
	c := newChain(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp, answer := c.request(t, http.MethodPost, tt.body, tt.headers)
			if resp.StatusCode != tt.status {
				t.Fatalf("got %d %s", resp.StatusCode, answer)
			}
			switch tt.status {
			case 403:
				if got := resp.Header.Get("WWW-Authenticate"); got != challenge || !strings.Contains(answer, "stocks/read stocks/trade") {
					t.Errorf("%s, %s", got, answer)
				}
			case 400:
				e, _ := message(t, resp, answer)["error"].(map[string]any)
				if code := e["code"]; code != float64(jsonrpc.CodeInvalidRequest) && code != float64(jsonrpc.CodeParseError) {
					t.Error(answer)
				}
			}
		})
	}
	if c.asked() != 0 || len(c.sent("POST /orders")) != 0 {
		t.Error("an order was begun without the scope")
	}
	resp, answer := c.request(t, http.MethodPost, orderBody, modern(map[string]string{
		"Mcp-Name": "place-order", "Authorization": "Bearer " + c.token(map[string]any{"scope": "openid"})}))
	if resp.StatusCode != 403 || resp.Header.Get("WWW-Authenticate") != challenge {
		t.Errorf("with neither scope: %d %s", resp.StatusCode, answer)
	}
}

// TestToolChecksScopeAgain: attack C1, should a request get past the
// middleware.
func TestToolChecksScopeAgain(t *testing.T) {
	c := newChain(t)
	var err error
	guard := token.Guard{Verifier: c.subjects, Log: slog.New(slog.DiscardHandler)}
	guarded := guard.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _, err = new(placeOrder).place(r.Context(), &mcp.CallToolRequest{Params: &mcp.CallToolParamsRaw{}}, orderArguments{})
	}))
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "Bearer "+c.token(map[string]any{"client_assurance_level": 3}))
	guarded.ServeHTTP(httptest.NewRecorder(), r)
	if err == nil || !strings.Contains(err.Error(), "stocks/trade") {
		t.Error(err)
	}
}

// FuzzParseOperation: whatever the SDK takes for an operation is the one that
// scopes are decided on.
func FuzzParseOperation(f *testing.F) {
	for _, seed := range []string{
		callBody, orderBody, `{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}`, `{"jsonrpc":"2.0","id":1,"method":"x","params":[{}]}`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, `{"jsonrpc":"2.0","id":1,"method":"x"}{}`, "{\"jsonrpc\":\"2.0\",\"id\":1,\"m\\u0065thod\":\"x\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		op, err := parseOperation(body)
		if err != nil {
			return
		}
		m, err := jsonrpc.DecodeMessage(body)
		if err != nil {
			return
		}
		r, ok := m.(*jsonrpc.Request)
		if !ok {
			return
		}
		if r.Method != op.Method {
			t.Fatalf("the SDK reads the method %q, we %q", r.Method, op.Method)
		}
		var params mcp.CallToolParamsRaw
		if json.Unmarshal(r.Params, &params) == nil && params.Name != op.Name {
			t.Fatalf("the SDK reads the name %q, we %q", params.Name, op.Name)
		}
	})
}
