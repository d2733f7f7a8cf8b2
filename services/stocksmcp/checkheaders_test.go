package stocksmcp

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRefusalNamesTheRequest: what is refused for its headers carries the id
// of the request in its body, and null where that has none to be found.
func TestRefusalNamesTheRequest(t *testing.T) {
	c := newChain(t)
	headers := modern(map[string]string{"MCP-Protocol-Version": "newest"})
	for body, want := range map[string]any{
		`{"jsonrpc":"2.0","id":301,"method":"tools/list"}`:   301.0,
		`{"jsonrpc":"2.0","id":"a-1","method":"tools/list"}`: "a-1",
		`{"jsonrpc":"2.0","id":-1.5,"method":"tools/list"}`:  nil, // is no id
		`{"jsonrpc":"2.0","method":"tools/list"}`:            nil,
		`{"jsonrpc":"2.0","id":{"a":1},"method":"x"}`:        nil,
		`[{"jsonrpc":"2.0","id":1,"method":"x"}]`:            nil,
		`{"id":1`: nil,
		``:        nil,
	} {
		resp, answer := c.request(t, http.MethodPost, body, headers)
		if diff := cmp.Diff(want, message(t, resp, answer)["id"]); diff != "" {
			t.Errorf("%s: id (-want +got):\n%s", body, diff)
		}
	}
}

func FuzzRequestID(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":301,"method":"tools/list"}`))
	f.Add([]byte(`{"id":"a","id":null}`))
	f.Add([]byte(`{"id":-}`))
	f.Add([]byte(`[1`))
	f.Fuzz(func(t *testing.T, body []byte) {
		id := requestID(body)
		var parsed any
		if err := json.Unmarshal(id, &parsed); err != nil {
			t.Fatalf("%q is not JSON", id)
		}
		switch parsed.(type) {
		case nil, string, float64:
		default:
			t.Fatalf("%q is no id", id)
		}
	})
}
