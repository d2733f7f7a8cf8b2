package stocksmcp

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// symbolSchema is the JSON Schema of a symbol. Small letters are taken as well,
// since people type them.
const symbolSchema = `{"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9.]{0,11}$"}`

// symbolForm is the same where no schema holds. A symbol becomes a part of a
// path: it has no slash and is neither "." nor "..".
var symbolForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.]{0,11}$`)

func upper(symbols []string) []string {
	out := make([]string, len(symbols))
	for i, s := range symbols {
		out[i] = strings.ToUpper(s)
	}
	return out
}

// stockTable writes stocks as a table.
func stockTable(b *strings.Builder, stocks ...stock) {
	b.WriteString("| Symbol | Name | Price | Currency | As of |\n|---|---|---:|---|---|\n")
	delayed := false
	for _, s := range stocks {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n",
			cell(s.Symbol), cell(s.Name), cell(s.Price), cell(s.Currency), s.AsOf.Format(time.RFC3339))
		delayed = delayed || s.Delayed
	}
	if delayed {
		b.WriteString("\nThese prices are delayed: nobody vouches for this client.\n")
	}
}

// cell keeps a value inside its cell: a name must not become a line of its
// own, which a language model could take for more than data.
func cell(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '|' || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
