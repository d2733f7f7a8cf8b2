// Package certs makes the certificates that local HTTPS needs: a certificate
// authority that the developer trusts once, and a short-lived certificate for
// the deployment's host names.
//
// The authority can do little harm. Name constraints (RFC 5280 §4.2.1.10) keep
// whoever steals its key to names below "localhost" and "demo.example", which
// nobody can own (RFC 2606, RFC 6761), and to this machine's own addresses. A
// deployment under another domain gets an authority of its own, constrained to
// that domain: ca-<domain>.pem beside ca.pem.
//
// Start reading at Ensure.
package certs

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"demo.example/services/internal/site"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 90 * 24 * time.Hour // browsers refuse more than 398 days
	renewBefore  = 30 * 24 * time.Hour
	clockSkew    = time.Hour // a virtual machine's clock may be behind
)

// commonDomains are what ca.pem may sign for: every default, and the domain
// that the documentation uses as another name.
var commonDomains = []string{"localhost", "demo.example"}

// Result says where the certificates are and what Ensure did.
type Result struct {
	CAFile        string    // to trust; PEM
	CertFile      string    // the server's certificate followed by the authority's; PEM
	KeyFile       string    // the server's private key; PEM, PKCS #8
	CreatedCA     bool      // the authority is new, and nobody trusts it yet
	IssuedLeaf    bool      // the server's certificate is new
	CAFingerprint string    // SHA-256, upper-case hex with colons, as OpenSSL and browsers show it
	NotAfter      time.Time // when the server's certificate expires
}

// Ensure makes sure that dir holds an authority for domain and a valid server
// certificate from it, and creates what is missing:
//
//	ca.pem, ca-key.pem      for domains below localhost and demo.example
//	ca-D.pem, ca-key-D.pem  for any other domain D
//	leaf.pem, leaf-key.pem  for the domain, all names directly below it,
//	                        localhost, 127.0.0.1 and ::1
//
// An authority is never overwritten, because people trusted it: where one is
// there but cannot be used, the error says what to do. The leaf is issued
// anew when it expires within 30 days, is for another domain, comes from
// another authority, or does not match its key.
//
// Any number of processes may call Ensure for one dir at once.
func Ensure(dir, domain string, now time.Time) (Result, error) {
	if err := (site.Site{Domain: domain, HTTPSPort: 443}).Validate(); err != nil {
		return Result{}, err // it becomes part of a file name
	}
	if err := makeDir(dir); err != nil {
		return Result{}, fmt.Errorf("directory for certificates: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return Result{}, fmt.Errorf("lock %s: %w", dir, err)
	}
	defer unlock()

	caFile, caKeyFile := caFiles(dir, domain)
	res := Result{CAFile: caFile, CertFile: filepath.Join(dir, "leaf.pem"), KeyFile: filepath.Join(dir, "leaf-key.pem")}
	ca, err := loadCA(caFile, caKeyFile)
	if errors.Is(err, errNoCA) {
		res.CreatedCA = true
		ca, err = createCA(caFile, caKeyFile, domain, now)
	}
	if err != nil {
		return Result{}, err
	}
	if now.After(ca.cert.NotAfter) {
		return Result{}, fmt.Errorf("%s expired on %s: %s", caFile, ca.cert.NotAfter.Format(time.DateOnly), moveAway(caFile, caKeyFile))
	}
	sum := sha256.Sum256(ca.cert.Raw)
	res.CAFingerprint = strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")

	leaf, err := loadPair(res.CertFile, res.KeyFile)
	if err == nil && usable(leaf, ca, domain, now) == nil && !due(leaf.cert, ca.cert, now) {
		res.NotAfter = leaf.cert.NotAfter
		return res, nil
	}
	// Whatever was wrong with it, a new one is right.
	leaf, err = issue(ca, domain, now)
	if err != nil {
		return Result{}, fmt.Errorf("issue a certificate for %s: %w", domain, err)
	}
	if err := usable(leaf, ca, domain, now); err != nil {
		return Result{}, fmt.Errorf("%s cannot sign for %s (%w): %s", caFile, domain, err, moveAway(caFile, caKeyFile))
	}
	if err := savePair(res.CertFile, res.KeyFile, leaf, ca.cert); err != nil {
		return Result{}, err
	}
	res.IssuedLeaf, res.NotAfter = true, leaf.cert.NotAfter
	return res, nil
}

// isCommon reports whether domain is one of commonDomains or below it.
func isCommon(domain string) bool {
	return slices.ContainsFunc(commonDomains, func(d string) bool {
		return domain == d || strings.HasSuffix(domain, "."+d)
	})
}

// caFiles returns where the authority for domain is kept.
func caFiles(dir, domain string) (cert, key string) {
	suffix := "-" + domain
	if isCommon(domain) {
		suffix = ""
	}
	return filepath.Join(dir, "ca"+suffix+".pem"), filepath.Join(dir, "ca-key"+suffix+".pem")
}

// errNoCA is the one state in which an authority may be created: neither of
// its files is there.
var errNoCA = errors.New("no certificate authority")

// loadCA reads an authority. Its errors say what to do.
func loadCA(certFile, keyFile string) (pair, error) {
	_, certErr := os.Lstat(certFile)
	_, keyErr := os.Lstat(keyFile)
	switch noCert, noKey := errors.Is(certErr, fs.ErrNotExist), errors.Is(keyErr, fs.ErrNotExist); {
	case noCert && noKey:
		return pair{}, errNoCA
	case noCert:
		return pair{}, fmt.Errorf("%s is there without %s: bring the certificate back, or %s", keyFile, certFile, moveAway(keyFile))
	case noKey:
		return pair{}, fmt.Errorf("%s is there without %s: bring the key back, or %s", certFile, keyFile, moveAway(certFile))
	}
	ca, err := loadPair(certFile, keyFile)
	if err == nil && !ca.cert.IsCA {
		err = errors.New("not the certificate of an authority")
	}
	if err != nil {
		return pair{}, fmt.Errorf("%s and %s cannot be used (%w): %s", certFile, keyFile, err, moveAway(certFile, keyFile))
	}
	return ca, nil
}

// moveAway is the way out that loses nothing.
func moveAway(files ...string) string {
	return "move " + strings.Join(files, " and ") + " elsewhere and run this again for a new authority (which has to be trusted anew), " +
		"or set CERTS_DIR to another directory"
}

// usable returns why a client that trusts ca alone would refuse leaf for a
// name of the deployment, or nil.
func usable(leaf, ca pair, domain string, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, name := range []string{domain, "login." + domain, "localhost", "127.0.0.1", "::1"} {
		_, err := leaf.cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now})
		if err != nil {
			return err
		}
	}
	return nil
}

// due reports whether leaf is near its end and a new one would last longer.
func due(leaf, ca *x509.Certificate, now time.Time) bool {
	return leaf.NotAfter.Before(now.Add(renewBefore)) && leaf.NotAfter.Before(leafEnd(ca, now))
}

// leafEnd is when a leaf issued now expires: never after its authority.
func leafEnd(ca *x509.Certificate, now time.Time) time.Time {
	end := now.Add(leafLifetime).UTC().Truncate(time.Second)
	if ca.NotAfter.Before(end) {
		return ca.NotAfter
	}
	return end
}

// pair is a certificate with its private key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}
