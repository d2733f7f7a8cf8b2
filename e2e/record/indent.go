package record

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Indent writes a JSON value (maps, slices, and what json.Marshal takes) for
// people: indented, but what is short stays on one line.
func Indent(value any) string { return indent(value, "") }

// maxInline is how long a value on one line may be.
const maxInline = 72

func indent(value any, margin string) string {
	inline := compact(value)
	if len(margin)+len(inline) <= maxInline {
		return inline
	}
	inner := margin + "  "
	var lines []string
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			lines = append(lines, inner+compact(name)+": "+indent(v[name], inner))
		}
		return "{\n" + strings.Join(lines, ",\n") + "\n" + margin + "}"
	case []any:
		for _, member := range v {
			lines = append(lines, inner+indent(member, inner))
		}
		return "[\n" + strings.Join(lines, ",\n") + "\n" + margin + "]"
	}
	return inline
}

// compact writes a value on one line, with a space where a person wants one.
func compact(value any) string {
	var parts []string
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, compact(name)+": "+compact(v[name]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		for _, member := range v {
			parts = append(parts, compact(member))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // a URL's & is to be read
	if err := encoder.Encode(value); err != nil {
		return "?"
	}
	return strings.TrimSpace(out.String())
}
