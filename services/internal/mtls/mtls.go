// Package mtls is how the services of one deployment know one another: each
// has a certificate of an authority that signs for nobody else, shows it both
// when it is called and when it calls, and lets in only those that have
// business with it (mutual TLS, RFC 8446 §4.3.2). Whoever else gets onto the
// network is refused at the handshake, before a byte of HTTP is read.
//
// It says nothing about users: a service judges the token of every request as
// if there were no certificate.
//
// Start reading at callers. Without the three settings, as when the services
// are processes on one machine's loopback, calls are plain http.
package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"demo.example/services/internal/reload"
)

// callers says who may call a service. Each may call itself as well, for its
// own health check.
var callers = map[string][]string{
	"authserver": {"gateway", "stocksmcp", "stocksapi"},
	"stocksmcp":  {"gateway"},
	"stocksapi":  {"gateway", "stocksmcp"},
	"mail":       {"gateway"},
	"gateway":    {}, // is called from outside alone, at its public address
}

// Settings are part of every service's settings: all three or none.
type Settings struct {
	InternalCertFile string `env:"INTERNAL_CERT_FILE"` // certificate by which the other services know this one; read again when it changes
	InternalKeyFile  string `env:"INTERNAL_KEY_FILE"`  // its private key
	InternalCAFile   string `env:"INTERNAL_CA_FILE"`   // certificate of the authority that signed those of all services and no others
}

// complete names a variable that is set while another is not: half of the
// settings must not pass for none.
func (s Settings) complete() error {
	var set, missing []string
	for _, f := range []struct{ variable, file string }{
		{"INTERNAL_CERT_FILE", s.InternalCertFile}, {"INTERNAL_KEY_FILE", s.InternalKeyFile}, {"INTERNAL_CA_FILE", s.InternalCAFile},
	} {
		if f.file == "" {
			missing = append(missing, f.variable)
		} else {
			set = append(set, f.variable)
		}
	}
	if len(set) > 0 && len(missing) > 0 {
		return fmt.Errorf("%s: is set without %s; set all three or none", set[0], strings.Join(missing, " and "))
	}
	return nil
}

// handshakeTimeout bounds a handshake, as long as both are on one network.
const handshakeTimeout = 5 * time.Second

// Identity is what a service is among the others. A nil Identity is that of a
// service which was given none: it neither asks for certificates nor has one.
type Identity struct {
	name  string // of the service
	files *reload.Files[*credentials]
	log   *slog.Logger
}

// credentials are what the three files hold.
type credentials struct {
	cert   tls.Certificate
	roots  *x509.CertPool
	server *tls.Config
}

// Load reads the certificate of the service called name. It returns nil when
// the settings are empty. Its errors name the variable to look at.
func Load(s Settings, name string, log *slog.Logger) (*Identity, error) {
	if s == (Settings{}) {
		return nil, nil
	}
	if _, known := callers[name]; !known {
		return nil, fmt.Errorf("mtls: %q is not in the table of callers", name)
	}
	id := &Identity{name: name, log: log}
	id.files = &reload.Files[*credentials]{
		Names: []string{s.InternalCertFile, s.InternalKeyFile, s.InternalCAFile},
		What:  "internal certificate", Log: log, Now: time.Now,
	}
	id.files.Read = func() (*credentials, error) {
		c, err := read(s)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(c.cert.Leaf.DNSNames, []string{name}) {
			return nil, fmt.Errorf("INTERNAL_CERT_FILE: %s is for %v, want %s alone; `make up` installs each service's own",
				s.InternalCertFile, c.cert.Leaf.DNSNames, name)
		}
		c.server = id.serverConfig(c)
		return c, nil
	}
	return id, id.files.Load()
}

// read returns what the files hold if the other services would accept it.
func read(s Settings) (*credentials, error) {
	const advice = "`make up` creates it for containers"
	if err := s.complete(); err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(s.InternalCAFile)
	if err != nil {
		return nil, fmt.Errorf("INTERNAL_CA_FILE: %w; %s", err, advice)
	}
	c := &credentials{roots: x509.NewCertPool()}
	if !c.roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("INTERNAL_CA_FILE: %s holds no certificate; %s", s.InternalCAFile, advice)
	}
	if c.cert, err = tls.LoadX509KeyPair(s.InternalCertFile, s.InternalKeyFile); err != nil {
		return nil, fmt.Errorf("INTERNAL_CERT_FILE, INTERNAL_KEY_FILE: %w; %s", err, advice)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := c.cert.Leaf.Verify(x509.VerifyOptions{Roots: c.roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			return nil, fmt.Errorf("INTERNAL_CERT_FILE: %w; `make up` renews it", err)
		}
	}
	return c, nil
}

// Server is how the service's internal listener speaks TLS; nil when it does
// not.
func (id *Identity) Server() *tls.Config {
	if id == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, // both ends are ours
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return id.files.Get().server, nil
		},
	}
}

func (id *Identity) serverConfig(c *credentials) *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		Certificates:     []tls.Certificate{c.cert},
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ClientCAs:        c.roots,
		VerifyConnection: id.admit,
		// Connections are kept, and one that is new proves itself by a
		// certificate that is good now.
		SessionTicketsDisabled: true,
		// The inbox needs upgrades to WebSocket, and streams are not to share
		// one connection: worth a little more than HTTP/2 costs (decision 18).
		NextProtos: []string{"http/1.1"},
	}
}

// admit refuses a service that has no business here. Its certificate has been
// verified.
func (id *Identity) admit(state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0]
	for _, name := range append([]string{id.name}, callers[id.name]...) {
		if slices.Equal(leaf.DNSNames, []string{name}) {
			return nil
		}
	}
	id.log.Warn("caller refused", "caller", leaf.DNSNames, "reason", "it may not call "+id.name)
	return errors.New("this caller may not call " + id.name)
}

// Secure makes t show the service's certificate to whom it calls by https, and
// accept the authority of the services alone. It leaves t as it is for a nil
// Identity.
func (id *Identity) Secure(t *http.Transport) {
	if id == nil {
		return
	}
	dial := t.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		raw, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		conn := tls.Client(raw, clientConfig(id.files.Get(), host))
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
		return conn, nil
	}
}

// Own is how a service asks itself, over its own listener: the health check.
// It returns nil when the settings are empty.
func Own(s Settings) (*tls.Config, error) {
	if s == (Settings{}) {
		return nil, nil
	}
	c, err := read(s)
	if err != nil {
		return nil, err
	}
	if len(c.cert.Leaf.DNSNames) != 1 {
		return nil, fmt.Errorf("INTERNAL_CERT_FILE: %s is for %v, want one service", s.InternalCertFile, c.cert.Leaf.DNSNames)
	}
	return clientConfig(c, c.cert.Leaf.DNSNames[0]), nil
}

// clientConfig is for a call to the service called name.
func clientConfig(c *credentials, name string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{c.cert},
		RootCAs:      c.roots,
		ServerName:   name,
		NextProtos:   []string{"http/1.1"},
	}
}
