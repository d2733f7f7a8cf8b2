package stocksmcp

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/httpserver"
)

// modern returns the headers of a 2026-07-28 request that calls the tool, some
// changed; "" removes one.
func modern(changes map[string]string) http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "fetch-stock-prices",
	} {
		h.Set(name, value)
	}
	for name, value := range changes {
		h.Del(name)
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

const callBody = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"fetch-stock-prices","arguments":{},` + meta + `}}`

// request sends one to the endpoint with a good token, unless headers bring
// an Authorization of their own.
func (c *chain) request(t *testing.T, method, body string, headers http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = headers.Clone()
	if _, ok := headers["Authorization"]; !ok {
		r.Header.Set("Authorization", "Bearer "+c.token(nil))
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// message returns the JSON-RPC message of an answer, be it JSON or a stream
// with one event.
func message(t *testing.T, resp *http.Response, body string) map[string]any {
	t.Helper()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		for s := bufio.NewScanner(strings.NewReader(body)); s.Scan(); {
			if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
				body = data
			}
		}
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%s %q: %v", resp.Status, body, err)
	}
	return m
}

// TestProtocolErrors: attacks C3 (headers that differ from the body), C4
// (versions and methods that there are not) and C5 (sessions).
func TestProtocolErrors(t *testing.T) {
	body := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":7,"method":"` + method + `","params":{` + params + meta + `}}`
	}
	tests := map[string]struct {
		headers http.Header
		body    string
		status  int
		code    float64 // of the JSON-RPC error, 0 when the answer is a result
	}{
		"call":                    {modern(nil), callBody, 200, 0},
		"discover":                {modern(map[string]string{"Mcp-Method": "server/discover", "Mcp-Name": ""}), body("server/discover", ""), 200, 0},
		"list":                    {modern(map[string]string{"Mcp-Method": "tools/list", "Mcp-Name": ""}), body("tools/list", ""), 200, 0},
		"version header missing":  {modern(map[string]string{"MCP-Protocol-Version": ""}), callBody, 400, -32020},
		"version header differs":  {modern(map[string]string{"MCP-Protocol-Version": "2025-11-25"}), callBody, 400, -32020},
		"method header missing":   {modern(map[string]string{"Mcp-Method": ""}), callBody, 400, -32020},
		"method header differs":   {modern(map[string]string{"Mcp-Method": "tools/list"}), callBody, 400, -32020},
		"method in another case":  {modern(map[string]string{"Mcp-Method": "Tools/Call"}), callBody, 400, -32020},
		"name header missing":     {modern(map[string]string{"Mcp-Name": ""}), callBody, 400, -32020},
		"name header differs":     {modern(map[string]string{"Mcp-Name": "fetch"}), callBody, 400, -32020},
		"name header in base64":   {modern(map[string]string{"Mcp-Name": "=?base64?ZmV0Y2g=?="}), callBody, 400, -32020},
		"version from the future": {modern(map[string]string{"MCP-Protocol-Version": "2099-01-01"}), strings.Replace(callBody, "2026-07-28", "2099-01-01", 1), 400, -32022},
		"version from the past":   {modern(map[string]string{"MCP-Protocol-Version": "1999-01-01"}), strings.Replace(callBody, "2026-07-28", "1999-01-01", 1), 400, -32022},
		"version is no date":      {modern(map[string]string{"MCP-Protocol-Version": "newest"}), callBody, 400, -32022},
		"unknown method":          {modern(map[string]string{"Mcp-Method": "stocks/steal", "Mcp-Name": ""}), body("stocks/steal", ""), 404, -32601},
		"method of the old era":   {modern(map[string]string{"Mcp-Method": "initialize", "Mcp-Name": ""}), body("initialize", ""), 404, -32601},
		"unknown tool":            {modern(map[string]string{"Mcp-Name": "fetch"}), body("tools/call", `"name":"fetch",`), 400, -32602},
	}
	c := newChain(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp, answer := c.request(t, http.MethodPost, tt.body, tt.headers)
			m := message(t, resp, answer)
			rpcError, _ := m["error"].(map[string]any)
			code, _ := rpcError["code"].(float64)
			if resp.StatusCode != tt.status || code != tt.code {
				t.Errorf("got %d %s", resp.StatusCode, answer)
			}
			if tt.code == -32022 {
				data, _ := rpcError["data"].(map[string]any)
				supported, _ := json.Marshal(data["supported"])
				if !strings.Contains(string(supported), `"2026-07-28"`) || !strings.Contains(string(supported), `"2025-11-25"`) {
					t.Errorf("supported: %s", supported)
				}
			}
			if resp.Header.Get("Mcp-Session-Id") != "" {
				t.Error("a session id was minted")
			}
		})
	}
}

func TestDiscover(t *testing.T) {
	c := newChain(t)
	resp, answer := c.request(t, http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{`+meta+`}}`,
		modern(map[string]string{"Mcp-Method": "server/discover", "Mcp-Name": ""}))
	result, _ := message(t, resp, answer)["result"].(map[string]any)
	got := map[string]any{"ttlMs": result["ttlMs"], "cacheScope": result["cacheScope"], "capabilities": result["capabilities"], "resultType": result["resultType"]}
	nothing := map[string]any{} // logging, which is deprecated, is on by default
	want := map[string]any{"capabilities": map[string]any{"tools": nothing, "prompts": nothing, "resources": nothing, "completions": nothing},
		"ttlMs": 300000.0, "cacheScope": "public", "resultType": "complete"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestHTTP is about what is decided before the protocol is looked at: attacks
// C1 (challenges), C2 (origins), C5 (methods and sessions), C7 (content types).
func TestHTTP(t *testing.T) {
	c := newChain(t)
	const metadata = `resource_metadata="https://mcp.demo.localhost:8443/.well-known/oauth-protected-resource"`
	bearer := func(raw string) map[string]string { return map[string]string{"Authorization": "Bearer " + raw} }
	tests := map[string]struct {
		method  string
		headers http.Header
		status  int
		header  string // and its value
		value   string
	}{
		"GET":                       {http.MethodGet, modern(nil), 405, "Allow", "POST"},
		"DELETE":                    {http.MethodDelete, modern(map[string]string{"Mcp-Session-Id": "x"}), 405, "Allow", "POST"},
		"PUT":                       {http.MethodPut, modern(nil), 405, "Allow", "POST"},
		"GET with unknown version":  {http.MethodGet, modern(map[string]string{"MCP-Protocol-Version": "1"}), 405, "Allow", "POST"},
		"text/plain":                {http.MethodPost, modern(map[string]string{"Content-Type": "text/plain"}), 415, "Allow", ""},
		"no content type":           {http.MethodPost, modern(map[string]string{"Content-Type": ""}), 415, "Allow", ""},
		"form":                      {http.MethodPost, modern(map[string]string{"Content-Type": "application/x-www-form-urlencoded"}), 415, "Allow", ""},
		"foreign Origin":            {http.MethodPost, modern(map[string]string{"Origin": "https://evil.example"}), 403, "WWW-Authenticate", ""},
		"Origin null":               {http.MethodPost, modern(map[string]string{"Origin": "null"}), 403, "WWW-Authenticate", ""},
		"cross-site fetch":          {http.MethodPost, modern(map[string]string{"Sec-Fetch-Site": "cross-site"}), 403, "WWW-Authenticate", ""},
		"own Origin":                {http.MethodPost, modern(map[string]string{"Origin": strings.TrimSuffix(c.URL, "/")}), 200, "Content-Type", "text/event-stream"},
		"someone's session id":      {http.MethodPost, modern(map[string]string{"Mcp-Session-Id": "x"}), 200, "Mcp-Session-Id", ""},
		"Last-Event-ID":             {http.MethodPost, modern(map[string]string{"Last-Event-ID": "1"}), 200, "Content-Type", "text/event-stream"},
		"no token":                  {http.MethodPost, http.Header{"Authorization": nil}, 401, "WWW-Authenticate", `Bearer scope="stocks/read", ` + metadata},
		"no token, GET":             {http.MethodGet, http.Header{"Authorization": nil}, 401, "WWW-Authenticate", `Bearer scope="stocks/read", ` + metadata},
		"token for the API":         {http.MethodPost, modern(bearer(c.Issuer.Sign(c.Issuer.Claims(testSite.APIResource())))), 401, "WWW-Authenticate", `Bearer error="invalid_token", scope="stocks/read", ` + metadata},
		"token without the slash":   {http.MethodPost, modern(bearer(c.Issuer.Sign(c.Issuer.Claims(testSite.Origin("mcp"))))), 401, "WWW-Authenticate", `Bearer error="invalid_token", scope="stocks/read", ` + metadata},
		"opaque token":              {http.MethodPost, modern(bearer("2YotnFZFEjr1zCsicMWpAA")), 401, "WWW-Authenticate", `Bearer error="invalid_token", scope="stocks/read", ` + metadata},
		"token without stocks/read": {http.MethodPost, modern(bearer(c.token(map[string]any{"scope": "openid"}))), 403, "WWW-Authenticate", `Bearer error="insufficient_scope", scope="stocks/read", ` + metadata},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp, answer := c.request(t, tt.method, callBody, tt.headers)
			if resp.StatusCode != tt.status || resp.Header.Get(tt.header) != tt.value {
				t.Errorf("%d, %s: %q, %s", resp.StatusCode, tt.header, resp.Header.Get(tt.header), answer)
			}
		})
	}
	t.Run("names twice", func(t *testing.T) {
		h := modern(nil)
		h.Add("Mcp-Name", "another")
		resp, answer := c.request(t, http.MethodPost, callBody, h)
		if resp.StatusCode != 400 || !strings.Contains(answer, "-32020") {
			t.Errorf("%d %s", resp.StatusCode, answer)
		}
	})
	t.Run("as large as may be", func(t *testing.T) {
		resp, answer := c.request(t, http.MethodPost, callBody+strings.Repeat(" ", httpserver.MaxMessage-len(callBody)), modern(nil))
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%d %s", resp.StatusCode, answer)
		}
	})
	t.Run("G12 larger", func(t *testing.T) {
		resp, answer := c.request(t, http.MethodPost, callBody+strings.Repeat(" ", httpserver.MaxMessage-len(callBody)+1), modern(nil))
		if resp.StatusCode != http.StatusRequestEntityTooLarge || resp.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(answer, "at most 65536 bytes") {
			t.Errorf("%d %q %s", resp.StatusCode, resp.Header.Get("Content-Type"), answer)
		}
	})
	t.Run("other method", func(t *testing.T) {
		resp, answer := c.request(t, http.MethodPut, callBody, modern(nil))
		if resp.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(answer, "with POST") {
			t.Errorf("%q %s", resp.Header.Get("Content-Type"), answer)
		}
	})
	t.Run("health", func(t *testing.T) {
		resp, err := http.Get(c.URL + "healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(b) != `{"status":"ok","revocations":"lost"}`+"\n" {
			t.Errorf("%d %s", resp.StatusCode, b)
		}
	})
	t.Run("other path", func(t *testing.T) {
		resp, err := http.Post(c.URL+"mcp", "application/json", strings.NewReader(callBody))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Error(resp.Status)
		}
	})
}

func TestKeysOutOfReach(t *testing.T) {
	c := newChain(t)
	c.Issuer.Down.Store(true)
	resp, answer := c.request(t, http.MethodPost, callBody, modern(nil))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, answer)
	}
}

// TestOldEra is a client of 2025-11-25, by hand.
func TestOldEra(t *testing.T) {
	c := newChain(t)
	h := modern(map[string]string{"MCP-Protocol-Version": "", "Mcp-Method": "", "Mcp-Name": ""})
	resp, answer := c.request(t, http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+
		`{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`, h)
	result, _ := message(t, resp, answer)["result"].(map[string]any)
	if resp.StatusCode != 200 || result["protocolVersion"] != "2025-11-25" || resp.Header.Get("Mcp-Session-Id") != "" {
		t.Errorf("initialize: %d %v %s", resp.StatusCode, resp.Header, answer)
	}
	h.Set("MCP-Protocol-Version", "2025-11-25")
	resp, answer = c.request(t, http.MethodPost, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, h)
	if resp.StatusCode != http.StatusAccepted || answer != "" {
		t.Errorf("notification: %d %s", resp.StatusCode, answer)
	}
	// The names in headers mean nothing in this era, and must decide nothing.
	h.Set("Mcp-Name", "another-tool")
	resp, answer = c.request(t, http.MethodPost, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"fetch-stock-prices"}}`, h)
	if _, ok := message(t, resp, answer)["result"]; !ok || resp.StatusCode != 200 {
		t.Errorf("call: %d %s", resp.StatusCode, answer)
	}
}
