package stocksmcp

import (
	"encoding/json"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

// TestAnswersAreAsAnnounced: nothing but this holds the structured answers to
// the tools' output schemas.
func TestAnswersAreAsAnnounced(t *testing.T) {
	c := newChain(t)
	session := c.connect(t, c.token(nil), eras[0])
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*jsonschema.Resolved{}
	for _, tool := range tools.Tools {
		var schema jsonschema.Schema
		decode(t, tool.OutputSchema, &schema)
		if schemas[tool.Name], err = schema.Resolve(nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		tool      string
		arguments map[string]any
	}{
		{"fetch-stock-prices", nil},
		{"fetch-stock-prices", map[string]any{"symbols": []string{"ALDP", "NONE"}}},
		{"get-stock", map[string]any{"symbol": "ALDP"}},
		{"get-stock", map[string]any{"symbol": "ALDP", "history_days": 3}},
	} {
		result, text := call(t, session, test.tool, test.arguments)
		if result.IsError || result.StructuredContent == nil {
			t.Fatalf("%s: %s", test.tool, text)
		}
		if err := schemas[test.tool].Validate(result.StructuredContent); err != nil {
			t.Errorf("%s: %v", test.tool, err)
		}
	}
	orders := schemas[placeOrderName]
	for _, outcome := range []orderOutcome{{Status: "declined"}, {Status: "executed", Order: &order{}}} {
		raw, err := json.Marshal(outcome)
		var generic any
		if err == nil {
			err = json.Unmarshal(raw, &generic)
		}
		if err == nil {
			err = orders.Validate(generic)
		}
		if err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
