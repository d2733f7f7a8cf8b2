package dpop

import (
	"errors"
	"net/url"
	"strings"
)

// normalURL returns the form in which two addresses are compared: without
// query and fragment, and with what RFC 3986 §6.2.2 and §6.2.3 call the same
// written the same (RFC 9449 §4.3): case of scheme and host, the default
// port, the empty path, dot segments, and escapes.
func normalURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Hostname() == "" || u.User != nil {
		return "", errors.New("not an absolute URL of scheme, host and path")
	}
	host := strings.ToLower(u.Host)
	host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
	path := new(url.URL).ResolveReference(u).EscapedPath() // resolving removes dot segments
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + strings.TrimSuffix(host, ":") + normalEscapes(path), nil
}

const hexDigits = "0123456789ABCDEF"

// normalEscapes decodes the escapes that no character needs and writes the
// others in upper case. The path is one that net/url wrote, so that every
// percent sign begins an escape.
func normalEscapes(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' || i+2 >= len(path) {
			b.WriteByte(c)
			continue
		}
		high := strings.IndexByte(hexDigits, upper(path[i+1]))
		low := strings.IndexByte(hexDigits, upper(path[i+2]))
		if c = byte(high<<4 | low); isUnreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + hexDigits[high:high+1] + hexDigits[low:low+1])
		}
		i += 2
	}
	return b.String()
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'f' {
		return c - 'a' + 'A'
	}
	return c
}

// isUnreserved reports whether a character never needs an escape (RFC 3986
// §2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
