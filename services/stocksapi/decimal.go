package stocksapi

import (
	"fmt"
	"strconv"
	"strings"

	"demo.example/services/internal/token"
)

// parseDecimal returns the price that s writes, in units of the last of
// digits places: "12.5" is 1250 with two. Prices are never floats, so that
// none is a hundredth off. The form is the plain one, without sign, exponent
// or zeros in front.
func parseDecimal(s string, digits int) (int64, error) {
	whole, fraction, point := strings.Cut(s, ".")
	switch {
	case whole == "" || point && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "":
		return 0, fmt.Errorf("%q is not a decimal number such as 12.50", shorten(s))
	case len(whole) > 1 && whole[0] == '0':
		return 0, fmt.Errorf("%q begins with zeros", shorten(s))
	case len(whole) > token.MaxPriceWhole:
		return 0, fmt.Errorf("%q is too large", shorten(s))
	case len(fraction) > digits:
		return 0, fmt.Errorf("%q has more than %d decimal places", shorten(s), digits)
	}
	return strconv.ParseInt(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
}

// formatDecimal writes an amount with all its places.
func formatDecimal(amount int64, digits int) string {
	if digits == 0 {
		return strconv.FormatInt(amount, 10)
	}
	s := fmt.Sprintf("%0*d", digits+1, amount)
	return s[:len(s)-digits] + "." + s[len(s)-digits:]
}

// shorten keeps what a caller sent from filling an answer.
func shorten(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
