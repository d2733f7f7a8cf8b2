package launch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"demo.example/e2e/deployment"
)

// Inside returns the base URL of a service behind the gateway's back. It is
// for tests of what happens to somebody who got there. Where the services
// speak TLS with one another its host is the name that they call the service
// by; the clients of this file find it.
func (r *Running) Inside(ctx context.Context, service string) (string, error) {
	address, err := r.runtime.inside(ctx, service)
	if err != nil || !r.runtime.mutualTLS() {
		return "http://" + address, err
	}
	_, port, err := net.SplitHostPort(address)
	return "https://" + net.JoinHostPort(service, port), err
}

// MutualTLS tells whether the services let in only one another, by their
// certificates.
func (r *Running) MutualTLS() bool { return r.runtime.mutualTLS() }

// InsideClient reaches the addresses that Inside returns, as the gateway,
// which every service lets in.
func (r *Running) InsideClient() *http.Client {
	if !r.runtime.mutualTLS() {
		return r.InsideClientAs()
	}
	cert, err := r.InternalCertificate("gateway")
	if err != nil {
		return &http.Client{Transport: failing{err}}
	}
	return r.InsideClientAs(cert)
}

// InsideClientAs reaches the addresses that Inside returns, and shows a
// certificate when there is one.
func (r *Running) InsideClientAs(show ...tls.Certificate) *http.Client {
	transport := &http.Transport{DisableKeepAlives: true}
	if r.runtime.mutualTLS() {
		roots := x509.NewCertPool()
		pem, err := os.ReadFile(filepath.Join(r.internalDir(), "ca.pem"))
		if err != nil || !roots.AppendCertsFromPEM(pem) {
			return &http.Client{Transport: failing{fmt.Errorf("the services' certificate authority: %w", err)}}
		}
		transport.TLSClientConfig = &tls.Config{
			RootCAs: roots, MinVersion: tls.VersionTLS13,
			// Unlike Certificates it does not ask whether the server wants it.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(show) == 0 {
					return new(tls.Certificate), nil
				}
				return &show[0], nil
			},
		}
		transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			name, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			if addr, err = r.runtime.inside(ctx, name); err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	}
	return deployment.NoRedirects(transport)
}

// InternalCertificate is that of a service, which only the deployment's
// operator can read.
func (r *Running) InternalCertificate(service string) (tls.Certificate, error) {
	file := filepath.Join(r.internalDir(), service)
	return tls.LoadX509KeyPair(file+".pem", file+"-key.pem")
}

// internalDir is where the setup container leaves them.
func (r *Running) internalDir() string { return filepath.Join(filepath.Dir(r.CAFile), "internal") }

// failing answers every request with an error.
type failing struct{ err error }

// RoundTrip implements http.RoundTripper.
func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }
