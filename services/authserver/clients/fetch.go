package clients

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// errForbiddenAddress is an address that a stranger's URL must not reach.
var errForbiddenAddress = errors.New("the address is not on the public internet")

// special are the blocks that are not the public internet (IANA special
// purpose registries). The predicates of package netip miss most of these.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)

// public6 is all of IPv6 that is routed on the internet, and special6 the
// parts of it that lead elsewhere: into IPv4, or into tests.
var (
	public6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// isPublic reports whether an address is on the public internet. An IPv4
// address that is wrapped in an IPv6 one (::ffff:0:0/96) never is: no honest
// name server answers that.
func isPublic(ip netip.Addr) bool {
	if ip.Is4() {
		return !contained(special, ip)
	}
	return public6.Contains(ip) && !contained(special6, ip)
}

func contained(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// dialTime is how long an address has to take a connection.
const dialTime = 2 * time.Second

// NewFetcher returns an HTTP client for URLs that strangers chose. It speaks
// to public addresses on port 443 only, follows no redirect, and keeps no
// connection. The address is checked when it is dialled, after name
// resolution, so a name that resolves differently the second time gains
// nothing.
//
// One host is exempt: ownHost (with port), this deployment's demo client, is
// reached at ownAddr. An empty ownAddr means that there is no exemption.
func NewFetcher(roots *x509.CertPool, ownHost, ownAddr string) *http.Client {
	guarded := &net.Dialer{Timeout: dialTime, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || ap.Port() != 443 || !isPublic(ap.Addr()) {
			return errForbiddenAddress
		}
		return nil
	}}
	own := &net.Dialer{Timeout: dialTime}
	return &http.Client{
		Timeout: fetchTime,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("a client document must not redirect")
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if ownAddr != "" && address == withPort(ownHost) {
					return own.DialContext(ctx, network, ownAddr)
				}
				return guarded.DialContext(ctx, network, address)
			},
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    2 * time.Second,
			ResponseHeaderTimeout:  3 * time.Second,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true, // a small body must not become a large one
			Proxy:                  nil,  // a proxy would be dialled instead of the address that is checked
		},
	}
}

// withPort adds the port that https implies.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, "443")
}

// Roots returns the certificate authorities to trust: the system's and, when
// file is not empty, the one in it.
func Roots(file string, read func(string) ([]byte, error)) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("system certificates: %w", err)
	}
	if file == "" {
		return pool, nil
	}
	pem, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("CA_FILE: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA_FILE: %s holds no certificate", file)
	}
	return pool, nil
}
