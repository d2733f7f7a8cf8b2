package gateway

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"time"

	"demo.example/services/internal/reload"
)

// certificate is the gateway's own. It follows its files.
type certificate struct {
	*reload.Files[*tls.Certificate]
	certFile, keyFile string
	host              string // that the certificate must be good for
}

// loadCertificate reads the certificate of the settings. The error names the
// variable to look at.
func loadCertificate(cfg settings, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: cfg.TLSCertFile, keyFile: cfg.TLSKeyFile, host: "mcp." + cfg.Domain}
	c.Files = &reload.Files[*tls.Certificate]{
		Names: []string{c.certFile, c.keyFile}, Read: c.read, What: "certificate", Log: log, Now: time.Now,
	}
	return c, c.Load()
}

// forName returns the certificate for a connection
// (tls.Config.GetCertificate). Who asks for a name that is not in it has come
// to the wrong place and learns so before any request (RFC 6066 §3).
func (c *certificate) forName(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert := c.Get()
	if hello.ServerName != "" {
		if err := cert.Leaf.VerifyHostname(hello.ServerName); err != nil {
			return nil, err
		}
	}
	return cert, nil
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
	if c.Now().After(cert.Leaf.NotAfter) {
		return nil, fmt.Errorf("TLS_CERT_FILE: %s expired on %s; `make certs` renews it", c.certFile, cert.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &cert, nil
}
