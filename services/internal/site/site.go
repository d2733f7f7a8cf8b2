// Package site derives every public name of the deployment from two settings,
// so that no URL is written down twice.
package site

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Site is where the deployment is reached.
type Site struct {
	Domain    string `env:"DOMAIN" envDefault:"demo.localhost"` // all hosts are below it
	HTTPSPort int    `env:"HTTPS_PORT" envDefault:"8443"`       // the one published port
}

// dns is a lower-case host name of letters, digits and hyphens (RFC 1123 §2.1).
var dns = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Validate reports the first setting that cannot be used, by its variable.
func (s Site) Validate() error {
	if !dns.MatchString(s.Domain) || len(s.Domain) > 200 {
		return fmt.Errorf("DOMAIN: %q is not a lower-case host name with a dot in it, such as demo.localhost", s.Domain)
	}
	if s.HTTPSPort < 1 || s.HTTPSPort > 65535 {
		return fmt.Errorf("HTTPS_PORT: %d is not a port between 1 and 65535", s.HTTPSPort)
	}
	return nil
}

// Reserved reports whether nobody can own the domain: it is below a name that
// is set aside for tests and documentation (RFC 6761 §6, RFC 2606). What is fit
// for a demonstration alone runs nowhere else.
func (s Site) Reserved() bool {
	for _, top := range []string{"localhost", "test", "example", "invalid", "example.com", "example.net", "example.org"} {
		if strings.HasSuffix("."+s.Domain, "."+top) {
			return true
		}
	}
	return false
}

// Host returns the authority of a service below the domain, as a browser
// sends it in Host: the port is left out where https implies it. The empty
// name is the domain itself.
func (s Site) Host(name string) string {
	host := s.Domain
	if name != "" {
		host = name + "." + host
	}
	if s.HTTPSPort != 443 {
		host += ":" + strconv.Itoa(s.HTTPSPort)
	}
	return host
}

// Origin returns the web origin (RFC 6454) of a service below the domain.
func (s Site) Origin(name string) string { return "https://" + s.Host(name) }

// Issuer identifies the authorization server (RFC 8414 §2): no path, no slash.
func (s Site) Issuer() string { return s.Origin("login") }

// MCPResource is the resource identifier (RFC 8707 §2) of the MCP server and
// the audience of the tokens for it. It ends in a slash, as it does in the
// endpoint that clients are given.
func (s Site) MCPResource() string { return s.Origin("mcp") + "/" }

// APIResource is the resource identifier of the stocks API and the audience
// of the tokens for it.
func (s Site) APIResource() string { return s.Origin("api") }

// ClientDocument is the demo client's metadata document, and so its client id.
func (s Site) ClientDocument() string { return s.Origin("client") + "/oauth-client.json" }

// CanonicalResource returns the one form in which a resource identifier is
// compared and put into tokens. With and without the root slash name the same
// resource (RFC 3986 §6.2.3); nothing else is normalised. The issuer is one of
// them: it has userinfo to give. It returns the raw value unchanged when it
// names none of the site's resources.
func (s Site) CanonicalResource(raw string) string {
	for _, resource := range []string{s.MCPResource(), s.APIResource(), s.Issuer()} {
		if trimRoot(raw) == trimRoot(resource) {
			return resource
		}
	}
	return raw
}

// trimRoot drops a slash that is the whole path.
func trimRoot(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return raw
	}
	return raw[:len(raw)-1]
}
