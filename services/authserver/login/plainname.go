package login

import (
	"regexp"
	"strings"
	"unicode"
)

// PlainName makes a client's name fit to be shown: control and formatting
// characters, which could reorder or hide what stands around it, and letters
// that cannot be seen become spaces. It puts the name in quotation marks, and
// those in the name become apostrophes, so that no name ends before its end
// and goes on in our words. A client without a name is called just that.
func PlainName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case !unicode.IsGraphic(r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), r == '\u2800': // the blank of Braille
			return ' '
		case unicode.Is(unicode.Quotation_Mark, r), strings.ContainsRune(likeQuotes, r):
			return '\''
		}
		return r
	}, name)
	name = doubled.ReplaceAllString(name, "'")
	if name = strings.Join(strings.Fields(name), " "); name == "" {
		return "An application without a name"
	}
	return "“" + name + "”"
}

// likeQuotes look like quotation marks, and are none for Unicode: ornaments,
// double primes and accents, marks of other scripts.
const likeQuotes = "❛❜❝❞❟❠🙶🙷🙸ʺˮ˝˵˶″‴‶‷⁗״〃"

// single are characters that look like a quotation mark if there are two of
// them, and doubled is that, with accents between them or without.
const single = "['`´ʹʻʼʽʾʿˈˊˋ΄՚׳′‵ꞌ｀]"

var doubled = regexp.MustCompile(single + `(\p{M}*` + single + `)+`)
