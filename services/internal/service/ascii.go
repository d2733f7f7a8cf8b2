package service

import (
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// asciiWriter writes lines of JSON with everything that is not ASCII escaped.
// encoding/json leaves the control characters of ISO 8859-1 as they are, and
// those that turn text around: a terminal that shows a log would obey them.
type asciiWriter struct{ io.Writer }

// Write implements io.Writer. In JSON, what is not ASCII stands in strings,
// where it may be escaped (RFC 8259 §7).
func (w asciiWriter) Write(line []byte) (int, error) {
	if isASCII(line) {
		return w.Writer.Write(line)
	}
	out := make([]byte, 0, 2*len(line))
	for _, r := range string(line) { // what is not UTF-8 becomes U+FFFD
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	if _, err := w.Writer.Write(out); err != nil {
		return 0, err
	}
	return len(line), nil
}

func isASCII(line []byte) bool {
	for _, b := range line {
		if b >= utf8.RuneSelf || b == 0x7f {
			return false
		}
	}
	return true
}
