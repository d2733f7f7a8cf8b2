package deploy

import (
	"fmt"
	"strings"

	"demo.example/services/internal/certs"
)

// What certs.Ensure calls the gateway's certificate and its key.
const (
	leafFile    = "leaf.pem"
	leafKeyFile = "leaf-key.pem"
)

// ensureCerts creates or renews the certificates, and says so when it did.
func (t *Tool) ensureCerts() (certs.Result, error) {
	pki, err := certs.Ensure(t.CertsDir, t.Domain, t.Now())
	if err != nil {
		return pki, fmt.Errorf("certificates: %w", err)
	}
	if pki.CreatedCA {
		t.say("Certificates: created a certificate authority for %s, %s. Its key stays on this machine.", t.Domain, pki.CAFile)
	}
	if pki.IssuedLeaf {
		t.say("Certificates: issued a certificate for %s and *.%s.", t.Domain, t.Domain)
	}
	return pki, nil
}

// ensureInternalCerts creates or renews the certificates by which the services
// know one another, and says so when it did. Only containers use them.
func (t *Tool) ensureInternalCerts() (certs.Internal, error) {
	internal, err := certs.EnsureInternal(t.CertsDir, Services, t.Now())
	if err != nil {
		return internal, fmt.Errorf("internal certificates: %w", err)
	}
	if len(internal.Issued) > 0 {
		t.say("Internal certificates: issued for %s.", strings.Join(internal.Issued, ", "))
	}
	return internal, nil
}

// certs is `make certs`: the certificates, and how to trust them.
func (t *Tool) certs() error {
	if err := t.Validate(); err != nil {
		return err
	}
	pki, err := t.ensureCerts()
	if err != nil {
		return err
	}
	fmt.Fprintln(t.Out, certs.TrustHelp(pki.CAFile))
	return nil
}

// trust is `make trust` and `make untrust`: do is what happens to the
// certificate authority of this domain.
func (t *Tool) trust(do func(caFile string) error) error {
	pki, err := t.ensureCerts()
	if err != nil {
		return err
	}
	return do(pki.CAFile)
}
