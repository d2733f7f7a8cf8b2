package clients

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"demo.example/services/authserver/store"
)

// loopback is a redirect URI of a program on the user's own machine, whose
// port is not known in advance (RFC 8252 §7.3). Its three groups: what comes
// before the port, the port, and what comes after.
var loopback = regexp.MustCompile(`^(http://(?:127\.0\.0\.1|\[::1\]|localhost))(:[0-9]{1,5})?((?:/[^#]*)?)$`)

// IsRedirect reports whether uri is a redirect URI that the client
// registered. The strings are compared as they are (RFC 9700 §4.1.3): nothing
// is decoded or normalised, so nothing can be hidden in it. Only the port of a
// loopback URI may differ.
func IsRedirect(c store.Client, uri string) bool { return isRegistered(c.RedirectURIs, uri) }

func isRegistered(uris []string, uri string) bool {
	if slices.Contains(uris, uri) {
		return true
	}
	got := loopback.FindStringSubmatch(uri)
	if got == nil {
		return false
	}
	return slices.ContainsFunc(uris, func(registered string) bool {
		want := loopback.FindStringSubmatch(registered)
		return want != nil && want[1] == got[1] && want[3] == got[3]
	})
}

// IsLoopback reports whether uri leads to a program on the user's machine.
// Any program there can claim it, whatever name the client gave.
func IsLoopback(uri string) bool { return loopback.MatchString(uri) }

// privateScheme is an app's own URI scheme: a domain name in reverse
// (RFC 8252 §7.1). The dot keeps out javascript:, data:, file: and their kin.
var privateScheme = regexp.MustCompile(`^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+$`)

// knownSchemes are the ones of widely used MCP clients that have no dot.
var knownSchemes = []string{"cursor", "vscode", "vscode-insiders", "windsurf", "claude"}

// CheckRedirect reports why a redirect URI cannot be registered.
func CheckRedirect(uri string) error {
	if len(uri) > 2000 {
		return errors.New("a redirect URI is longer than 2000 bytes")
	}
	for _, r := range uri {
		if r <= ' ' || r >= 0x7f || r == '\\' {
			return fmt.Errorf("%q holds a character that has to be percent-encoded", uri)
		}
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a URI", uri)
	case strings.Contains(uri, "#"):
		return fmt.Errorf("%q has a fragment (RFC 6749 §3.1.2)", uri)
	case strings.Contains(uri, "*"):
		return fmt.Errorf("%q has a wildcard; register every redirect URI", uri)
	case u.User != nil:
		return fmt.Errorf("%q has user information", uri)
	case u.Scheme == "https":
		if u.Hostname() == "" {
			return fmt.Errorf("%q has no host", uri)
		}
		return nil
	case u.Scheme == "http":
		if !IsLoopback(uri) {
			return fmt.Errorf("%q: http is for 127.0.0.1, [::1] and localhost; use https", uri)
		}
		return nil
	case privateScheme.MatchString(u.Scheme), slices.Contains(knownSchemes, u.Scheme):
		return nil
	}
	return fmt.Errorf("%q: use https, http on a loopback address, or a scheme that is a domain name of yours in reverse", uri)
}
