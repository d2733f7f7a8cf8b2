package login

import (
	"strings"
	"testing"
	"unicode"
)

func TestPlainName(t *testing.T) {
	const nameless = "An application without a name"
	for name, want := range map[string]string{
		"Test Agent":                      "“Test Agent”",
		"Müller’s 株価 🚀":                   "“Müller's 株価 🚀”",
		"Hawai`i O'Brien":                 "“Hawai`i O'Brien”",
		"":                                nameless,
		" \t\r\n":                         nameless,
		"\u200b\u200d\ufeff":              nameless,    // zero width
		"\u3164\u2800\u115f\uffa0":        nameless,    // letters that cannot be seen
		"\u202egnp.exe":                   "“gnp.exe”", // what follows would read from right to left
		"a\u2066b\u2069c\u200fd":          "“a b c d”",
		"Cla\u200bude":                    "“Cla ude”",
		"Agent\x00\x1b[31m\x07":           "“Agent [31m”",
		"Agent\r\nSubject: hi":            "“Agent Subject: hi”",
		"Agent\u2028Approved\u2029\u0085": "“Agent Approved”",
		"a   b\u00a0\u3000c":              "“a b c”",
		"\U000e0041\U000e0042x":           "“x”", // tag characters
		"bad \xff utf-8":                  "“bad � utf-8”",
		"A” was reviewed. “B":             "“A' was reviewed. 'B”",
		`A" <b>`:                          "“A' <b>”", // the page escapes what is markup
		"A''' B '\u0301' C `` D ´´ E '":   "“A' B ' C ' D ' E '”",
		strings.Repeat("x", 100):          "“" + strings.Repeat("x", 100) + "”",
	} {
		if got := PlainName(name); got != want {
			t.Errorf("PlainName(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestPlainNameHasNoQuotationMarks: whatever looks like a quotation mark, a name
// does not leave its own.
func TestPlainNameHasNoQuotationMarks(t *testing.T) {
	marks := []string{"''", "``", "´´", "′′", "″", "ʼʼ", "'`", "🙶", "˝", "״", "׳׳", "〃"}
	for r := range unicode.MaxRune {
		if unicode.Is(unicode.Quotation_Mark, r) || r >= '\u275b' && r <= '\u2760' {
			marks = append(marks, string(r), string([]rune{r, r}))
		}
	}
	for _, mark := range marks {
		if got := PlainName("A" + mark + " is verified. " + mark + "B"); got != "“A' is verified. 'B”" {
			t.Errorf("%+q: %q", mark, got)
		}
	}
}
