package config

import (
	"fmt"
	"net/url"
)

// CheckServiceURL returns an error that names the variable unless u says where
// to connect and nothing more. A path would be lost, or be in the way, wherever
// an endpoint is appended, and credentials would get into logs.
func CheckServiceURL(variable string, u url.URL) error {
	if !isOrigin(u) || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("%s: %q is not scheme, host and port alone, such as http://127.0.0.1:8081", variable, u.Redacted())
	}
	return nil
}

// CheckWebOrigin returns an error that names the variable unless origin is one
// as browsers send it (RFC 6454 §6.2), for it is compared as text.
func CheckWebOrigin(variable, origin string) error {
	u, err := url.Parse(origin)
	if err != nil || !isOrigin(*u) || u.Path != "" || u.String() != origin {
		return fmt.Errorf("%s: %q is not an origin as a browser sends it, such as http://localhost:6274", variable, origin)
	}
	return nil
}

// isOrigin reports whether u has a scheme of the web, a host, perhaps a port,
// and nothing more but a path.
func isOrigin(u url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && u.Opaque == ""
}
