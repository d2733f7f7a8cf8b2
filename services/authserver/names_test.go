package authserver

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/login"
)

func TestShortName(t *testing.T) {
	for name, want := range map[string]string{
		"Test Agent":                             "“Test Agent”",
		"":                                       "An application without a name",
		strings.Repeat("x", 48):                  "“" + strings.Repeat("x", 48) + "”",
		strings.Repeat("x", 49):                  "“" + strings.Repeat("x", 47) + "…”",
		strings.Repeat("株", 99):                  "“" + strings.Repeat("株", 47) + "…”",
		"Z" + strings.Repeat("\u0301", 40) + "a": "“Z\u0301\u0301a”",
		"Ngữ nghĩa (e\u0302\u0301)":              "“Ngữ nghĩa (e\u0302\u0301)”",
	} {
		if got := shortName(login.PlainName(name)); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// TestNameWarnings: attacks D3, D18 and O17. A name that is made to look like
// another is said to be.
func TestNameWarnings(t *testing.T) {
	known := knownNames("MCP Inspector", "Stocks Web", "AI")
	const hidden, mixed, like = "hidden characters", "several alphabets", "looks like"
	for name, want := range map[string][]string{
		"Claude":                   nil,
		"Portfolio Helper":         nil,
		"Müller’s 株価 🚀":            nil,
		"Яндекс Browser":           nil, // another alphabet in another word
		"Αθήνα-Stocks":             nil,
		"Naïve café":               nil,
		"":                         nil,
		"!!!":                      nil,
		"Inspector":                nil,
		"Air traffic":              nil, // a known name of two letters is looked for as a whole
		"AI":                       {like},
		"A.I.":                     {like},
		"MCP Inspector":            {like},
		"mcp  inspector":           {like},
		"MCP-Inspector (official)": {like},
		"MCP lnspector":            {like}, // a small L
		"MCP 1nspector":            {like},
		"MCP Inspect0r":            {like},
		"MCP Inspectors":           {like},
		"MCP Inspecor":             {like},
		"MCP Inspectør":            {like},
		"MCP Ínspéctor":            {like},
		"ＭＣＰ Ｉｎｓｐｅｃｔｏｒ":            {like},
		"𝐌𝐂𝐏 𝗜𝗻𝘀𝗽𝗲𝗰𝘁𝗼𝗿": {like},
		"МСР Inspector":                  {like}, // a Cyrillic word
		"MCP Inspeсtor":                  {mixed, like},
		"Stοcks Web":                     {mixed, like},
		"Stocks VVeb":                    {like},
		"Сlaude":                         {mixed},
		"Cla\u200bude":                   {hidden},
		"\u202egnp.exe":                  {hidden},
		"MCP\u2060 Inspector":            {hidden, like},
		"MCP Inspe\u00adctor":            {hidden, like},
		"M\u200bC\u200bP\u200bInspector": {hidden, like},
	} {
		got := nameWarnings(name, known)
		if len(got) != len(want) {
			t.Errorf("%q: %q, want %q", name, got, want)
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%q: %q, want %q", name, got[i], want[i])
			}
		}
	}
}

// FuzzNames: whatever a client calls itself, what is shown is short, valid, and
// in one pair of quotation marks; a known name is always noticed, also with
// something hidden in it.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "Test Agent", "MCP Inspeсtor", "\u202egnp.exe", "Z\u0301\u0301\u0301", "A” was reviewed. “B", "\xff", "“", strings.Repeat("”", 200), "A❞ is known. ❝B", "A＂ ‟B„", "A'' B ``"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		shown := shortName(login.PlainName(name))
		if !utf8.ValidString(shown) || utf8.RuneCountInString(shown) > maxShown+2 || hasHidden(shown) || strings.ContainsFunc(shown, unicode.IsControl) {
			t.Errorf("%q is shown as %q", name, shown)
		}
		inside := strings.TrimSuffix(strings.TrimPrefix(shown, "“"), "”")
		if strings.ContainsFunc(inside, func(r rune) bool { return r != '\'' && unicode.Is(unicode.Quotation_Mark, r) }) || strings.Contains(inside, "''") || strings.ContainsAny(inside, "❛❜❝❞") {
			t.Errorf("%q ends before its end: %q", name, shown)
		}
		const known = "MCP Inspector"
		nameWarnings(name, knownNames(name, known))
		if lookalike(name+known, knownNames(known)) == "" && !strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) && !strings.HasSuffix(strings.ToLower(name), "r") && !strings.HasSuffix(strings.ToLower(name), "v") {
			t.Errorf("%q goes unnoticed", name+known)
		}
	})
}

func TestMaskedAddress(t *testing.T) {
	got := map[string]string{}
	for _, email := range []string{"john.doe@demo.example", "a@b.example", "é@demo.example", `"a@b"@demo.example`, "@demo.example", ""} {
		got[email] = maskedAddress(email)
	}
	if diff := cmp.Diff(map[string]string{
		"john.doe@demo.example": "j•••@demo.example", "a@b.example": "a•••@b.example", "é@demo.example": "é•••@demo.example",
		`"a@b"@demo.example`: `"•••@demo.example`, "@demo.example": "•••", "": "•••",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
