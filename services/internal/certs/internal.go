package certs

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Internal says where the certificates are by which the services of a
// deployment know one another.
type Internal struct {
	Dir       string   // they are in
	CreatedCA bool     // the authority is new, and so is every certificate
	Issued    []string // services whose certificate is new
}

// CAFile is what every service trusts, and nobody else should.
func (i Internal) CAFile() string { return filepath.Join(i.Dir, "ca.pem") }

// CertFile is a service's certificate.
func (i Internal) CertFile(service string) string { return filepath.Join(i.Dir, service+".pem") }

// KeyFile is the private key to CertFile.
func (i Internal) KeyFile(service string) string { return filepath.Join(i.Dir, service+"-key.pem") }

// EnsureInternal makes sure that the directory internal below dir holds an
// authority for the services, another one than the public, and a valid
// certificate for each:
//
//	ca.pem, ca-key.pem          trusted by the services alone
//	SERVICE.pem, -key.pem       for that name, as server and as client
//
// They live and are renewed as those of Ensure are. But nobody trusted this
// authority by hand, so one that is missing, damaged, at its end or made for
// other services is replaced.
func EnsureInternal(dir string, services []string, now time.Time) (Internal, error) {
	res := Internal{Dir: filepath.Join(dir, "internal")}
	if err := makeDir(res.Dir); err != nil {
		return res, fmt.Errorf("directory for internal certificates: %w", err)
	}
	unlock, err := lock(res.Dir)
	if err != nil {
		return res, fmt.Errorf("lock %s: %w", res.Dir, err)
	}
	defer unlock()

	caKey := filepath.Join(res.Dir, "ca-key.pem")
	ca, err := loadCA(res.CAFile(), caKey)
	if err != nil || !slices.Equal(ca.cert.PermittedDNSDomains, services) || now.Add(renewBefore).After(ca.cert.NotAfter) {
		res.CreatedCA = true
		if ca, err = createInternalCA(res.CAFile(), caKey, services, now); err != nil {
			return res, err
		}
	}
	for _, name := range services {
		certFile, keyFile := res.CertFile(name), res.KeyFile(name)
		leaf, err := loadPair(certFile, keyFile)
		if err == nil && usableInside(leaf, ca, name, now) == nil && !due(leaf.cert, ca.cert, now) {
			continue
		}
		// A service is called and calls by the same name.
		leaf, err = newLeaf(ca, []string{name}, nil, now, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
		if err != nil {
			return res, fmt.Errorf("issue an internal certificate for %s: %w", name, err)
		}
		if err := savePair(certFile, keyFile, leaf); err != nil {
			return res, err
		}
		res.Issued = append(res.Issued, name)
	}
	return res, nil
}

// createInternalCA makes the authority of these services and saves it.
func createInternalCA(certFile, keyFile string, services []string, now time.Time) (pair, error) {
	for _, old := range []string{certFile, keyFile} {
		if err := os.RemoveAll(old); err != nil { // whatever it was
			return pair{}, err
		}
	}
	ca, err := newCA("Internal demo CA", services, nil, now)
	if err != nil {
		return pair{}, fmt.Errorf("create an internal certificate authority: %w", err)
	}
	return ca, savePair(certFile, keyFile, ca)
}

// usableInside returns why another service would refuse leaf, or nil.
func usableInside(leaf, ca pair, name string, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := leaf.cert.Verify(x509.VerifyOptions{
			DNSName: name, Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
