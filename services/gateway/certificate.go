package gateway

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// checkInterval is how often, at most, the certificate's files are looked at.
const checkInterval = time.Second

// certificate is the gateway's own. It follows its files, so that renewing
// them needs no restart and breaks no connection.
type certificate struct {
	certFile, keyFile string
	host              string // that the certificate must be good for
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]fileState // when the files were last read, whatever came of it
	checked time.Time
}

// fileState tells whether a file was replaced.
type fileState struct {
	modified time.Time
	size     int64
}

// loadCertificate reads the certificate of the settings. The error names the
// variable to look at.
func loadCertificate(cfg settings, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: cfg.TLSCertFile, keyFile: cfg.TLSKeyFile, host: "mcp." + cfg.Domain, log: log, now: time.Now}
	c.checked, c.seen = c.now(), c.state()
	cert, err := c.read()
	c.current = cert
	return c, err
}

// forName returns the certificate for a connection
// (tls.Config.GetCertificate). Who asks for a name that is not in it has come
// to the wrong place and learns so before any request (RFC 6066 §3).
func (c *certificate) forName(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert := c.get()
	if hello.ServerName != "" {
		if err := cert.Leaf.VerifyHostname(hello.ServerName); err != nil {
			return nil, err
		}
	}
	return cert, nil
}

// get returns the certificate that is good now. A renewed one that cannot be
// used is reported once, and the old one stays.
func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.checked) < checkInterval {
		return c.current
	}
	c.checked = now
	state := c.state()
	if state == c.seen {
		return c.current
	}
	c.seen = state
	cert, err := c.read()
	if err != nil {
		c.log.Error("the new certificate cannot be used; the old one stays", "error", err)
		return c.current
	}
	c.log.Info("certificate renewed", "not_after", cert.Leaf.NotAfter)
	c.current = cert
	return cert
}

// state describes the files; one that cannot be looked at counts as empty.
func (c *certificate) state() (s [2]fileState) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			s[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return s
}

// read returns the certificate in the files if clients would accept it.
func (c *certificate) read() (*tls.Certificate, error) {
	const advice = "`make certs` creates both files"
	chain, err := os.ReadFile(c.certFile)
	if err != nil {
		return nil, fmt.Errorf("TLS_CERT_FILE: %w; %s", err, advice)
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("TLS_KEY_FILE: %w; %s", err, advice)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("TLS_CERT_FILE, TLS_KEY_FILE: %w; %s", err, advice)
	}
	if err := cert.Leaf.VerifyHostname(c.host); err != nil {
		return nil, fmt.Errorf("TLS_CERT_FILE: %w; `make certs` renews it for DOMAIN", err)
	}
	if c.now().After(cert.Leaf.NotAfter) {
		return nil, fmt.Errorf("TLS_CERT_FILE: %s expired on %s; `make certs` renews it", c.certFile, cert.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &cert, nil
}
