package authserver

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store"
)

// A client chooses its name. login.PlainName makes it harmless to show; here is
// what makes it honest: it is short, and what is odd about it is said.

const (
	maxShown = 48 // characters of a name that are shown
	maxMarks = 2  // accents that may pile up on one letter
	shortest = 6  // bytes of a known name that is looked for in others: shorter ones are found everywhere
)

// shortName cuts a name, as PlainName returns it, to what fits a line.
func shortName(plain string) string { return shortened(plain, maxShown) }

// shortened cuts what PlainName returns to so many characters.
func shortened(plain string, limit int) string {
	if !strings.HasPrefix(plain, "“") {
		return plain
	}
	var out []rune
	marks := 0
	for _, r := range strings.Trim(plain, "“”") {
		if marks++; !unicode.Is(unicode.M, r) {
			marks = 0
		}
		if marks <= maxMarks {
			out = append(out, r)
		}
	}
	if len(out) > limit {
		out = append(out[:limit-1], '…')
	}
	return "“" + string(out) + "”"
}

// nameWarnings says what is odd about the name of a client that is none of the
// known ones.
func nameWarnings(name string, known []knownName) []string {
	var out []string
	if hasHidden(name) {
		out = append(out, "Its name had hidden characters in it, which are not shown.")
	}
	if mixesAlphabets(name) {
		out = append(out, "Its name mixes letters of several alphabets, as names do that are made to look like others.")
	}
	if k := lookalike(name, known); k != "" {
		out = append(out, "Its name is, or looks like, that of "+login.PlainName(k)+", which is known here. This is not that one, or could not show that it is.")
	}
	return out
}

// hasHidden reports whether a name has characters that cannot be seen, or that
// reorder others.
func hasHidden(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool {
		return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point) || r == '\u2800'
	})
}

// alphabets have letters that look like those of another of them.
var alphabets = []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee}

// mixesAlphabets reports whether one word has letters of two alphabets.
// Different ones in different words are ordinary.
func mixesAlphabets(name string) bool {
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return unicode.IsSpace(r) || r == '-' || r == '/' }) {
		var seen *unicode.RangeTable
		for _, r := range word {
			for _, alphabet := range alphabets {
				if !unicode.Is(alphabet, r) {
					continue
				}
				if seen != nil && seen != alphabet {
					return true
				}
				seen = alphabet
			}
		}
	}
	return false
}

// knownName is a name that no other may look like.
type knownName struct{ name, shape string }

// knownNames returns names in their order: always the same one is named where
// two would do.
func knownNames(names ...string) []knownName {
	var out []knownName
	for _, name := range slices.Sorted(slices.Values(names)) {
		out = append(out, knownName{name, shapeOf(name)})
	}
	return out
}

// reviewedNames are those of the clients of this deployment, which do not change
// while it runs.
func reviewedNames(presets map[string]store.Client) []knownName {
	var names []string
	for _, c := range presets {
		names = append(names, c.Name)
	}
	return knownNames(names...)
}

// lookalike returns the known name that a name can be taken for, or "".
func lookalike(name string, known []knownName) string {
	shape := shapeOf(name)
	for _, k := range known {
		if shape == k.shape || len(k.shape) >= shortest && (strings.Contains(shape, k.shape) || oneApart(shape, k.shape)) {
			return k.name
		}
	}
	return ""
}

// shapes are letters by what they look like, after small letters were made of
// capitals: a few hundred look alike somewhere, these do in most fonts.
var shapes = strings.NewReplacer(
	"а", "a", "в", "b", "с", "c", "ԁ", "d", "е", "e", "һ", "h", "н", "h", "і", "l", "ӏ", "l", "ј", "j", "к", "k", "м", "m", "о", "o", "р", "p", "ԛ", "q", "ѕ", "s", "т", "t", "у", "y", "х", "x", "ѡ", "w", "ѵ", "v", // Cyrillic
	"α", "a", "β", "b", "ε", "e", "η", "n", "ι", "l", "κ", "k", "μ", "m", "ν", "v", "ο", "o", "ρ", "p", "τ", "t", "υ", "u", "χ", "x", "ω", "w", "γ", "y", // Greek
	"օ", "o", "ս", "u", "հ", "h", "ո", "n", // Armenian
	"ı", "l", "i", "l", "1", "l", "|", "l", "!", "l", "0", "o", "5", "s", "$", "s", "@", "a", "ł", "l", "ø", "o", "ɑ", "a", "ɡ", "g",
)

// pairs are letters that look like one when they stand together.
var pairs = strings.NewReplacer("rn", "m", "vv", "w")

// shapeOf reduces a name to what the eye makes of it: no accents, no spaces, no
// case, and one letter for all that look like it.
func shapeOf(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.M, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(name))
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, shapes.Replace(name))
	return pairs.Replace(name)
}

// oneApart reports whether two texts differ by at most one letter, put in, left
// out or replaced.
func oneApart(a, b string) bool {
	long, short := []rune(a), []rune(b)
	if len(long) < len(short) {
		long, short = short, long
	}
	i := 0
	for i < len(short) && long[i] == short[i] {
		i++
	}
	switch len(long) - len(short) {
	case 0:
		return i == len(short) || string(long[i+1:]) == string(short[i+1:])
	case 1:
		return string(long[i+1:]) == string(short[i:])
	}
	return false
}
