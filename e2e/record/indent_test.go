package record_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/e2e/record"
)

func TestIndentKeepsShortThingsOnOneLine(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"short": {`{"a":[1,"b",null],"c":{}}`, `{"a": [1, "b", null], "c": {}}`},
		"long": {
			`{"first":["` + long + `"],"second":[1,2],"third":"https://x/?a&b"}`,
			"{\n  \"first\": [\n    \"" + long + "\"\n  ],\n  \"second\": [1, 2],\n  \"third\": \"https://x/?a&b\"\n}",
		},
	}
	for name, tt := range tests {
		var value any
		if err := json.Unmarshal([]byte(tt.in), &value); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, record.Indent(value)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

const long = "0123456789012345678901234567890123456789012345678901234567890123456789"
