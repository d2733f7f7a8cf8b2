package certs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var internalServices = []string{"gateway", "mail"}

func ensureInternal(t *testing.T, dir string, services []string, at time.Time) Internal {
	t.Helper()
	res, err := EnsureInternal(dir, services, at)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Each certificate is good for its service in both roles, and for nobody else.
func TestInternalCertificates(t *testing.T) {
	res := ensureInternal(t, t.TempDir(), internalServices, now)
	if diff := cmp.Diff(internalServices, res.Issued); diff != "" || !res.CreatedCA {
		t.Errorf("issued (-want +got):\n%s", diff)
	}
	roots := x509.NewCertPool()
	ca, err := readCertificate(res.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(ca)
	for _, service := range internalServices {
		pair, err := tls.LoadX509KeyPair(res.CertFile(service), res.KeyFile(service))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range append([]string{"localhost", "mail.demo.localhost"}, internalServices...) {
			for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				_, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
				if (err == nil) != (name == service) {
					t.Errorf("certificate of %s as %s: %v", service, name, err)
				}
			}
		}
		if info, err := os.Stat(res.KeyFile(service)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("key of %s: %v, %v; want mode 0600", service, info.Mode(), err)
		}
	}
}

// The authority that people trust and the one of the services are strangers to
// each other, and the latter can sign for nothing but the services.
func TestInternalAuthorityIsSeparate(t *testing.T) {
	dir := t.TempDir()
	public := ensure(t, dir, "demo.localhost", now)
	internal := ensureInternal(t, dir, internalServices, now)
	pair, err := tls.LoadX509KeyPair(internal.CertFile("mail"), internal.KeyFile("mail"))
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, public, pair.Leaf, "mail", now); err == nil {
		t.Error("the public authority vouches for an internal certificate")
	}
	ca, err := loadCA(internal.CAFile(), internal.Dir+"/ca-key.pem")
	if err != nil {
		t.Fatal(err)
	}
	if !ca.cert.PermittedDNSDomainsCritical {
		t.Error("the name constraints are not critical")
	}
	forged, err := newLeaf(ca, []string{"login.demo.localhost"}, nil, now, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	if err != nil {
		t.Fatal(err)
	}
	if err := usableInside(forged, ca, "login.demo.localhost", now); err == nil {
		t.Error("the internal authority can sign for a public name")
	}
}

// What is good stays; what is not is replaced without a question.
func TestInternalRenewal(t *testing.T) {
	tests := map[string]struct {
		change   func(t *testing.T, first Internal)
		services []string
		at       time.Time
		newCA    bool
		issued   []string
	}{
		"good":                    {at: now.Add(59 * day)},
		"near its end":            {at: now.Add(61 * day), issued: internalServices},
		"authority near its end":  {at: now.Add(caLifetime - day), newCA: true, issued: internalServices},
		"one more service":        {services: []string{"gateway", "mail", "stocksapi"}, newCA: true, issued: []string{"gateway", "mail", "stocksapi"}},
		"key of a service gone":   {change: func(t *testing.T, i Internal) { removeAll(t, i.KeyFile("mail")) }, issued: []string{"mail"}},
		"key of the authority":    {change: func(t *testing.T, i Internal) { removeAll(t, i.Dir+"/ca-key.pem") }, newCA: true, issued: internalServices},
		"damaged certificate":     {change: func(t *testing.T, i Internal) { damage(t, i.CertFile("gateway")) }, issued: []string{"gateway"}},
		"damaged authority":       {change: func(t *testing.T, i Internal) { damage(t, i.CAFile()) }, newCA: true, issued: internalServices},
		"two services mixed up":   {change: func(t *testing.T, i Internal) { swap(t, i, "gateway", "mail") }, issued: internalServices},
		"nothing left but a lock": {change: func(t *testing.T, i Internal) { removeAll(t, i.Dir) }, newCA: true, issued: internalServices},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first := ensureInternal(t, dir, internalServices, now)
			if tt.change != nil {
				tt.change(t, first)
			}
			if tt.services == nil {
				tt.services = internalServices
			}
			if tt.at.IsZero() {
				tt.at = now
			}
			got := ensureInternal(t, dir, tt.services, tt.at)
			if diff := cmp.Diff(Internal{Dir: first.Dir, CreatedCA: tt.newCA, Issued: tt.issued}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again := ensureInternal(t, dir, tt.services, tt.at); again.CreatedCA || len(again.Issued) != 0 {
				t.Errorf("the next call issues again: %+v", again)
			}
		})
	}
}

func removeAll(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func damage(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, []byte("half a certif"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// swap exchanges the files of two services.
func swap(t *testing.T, i Internal, a, b string) {
	t.Helper()
	for _, file := range []func(string) string{i.CertFile, i.KeyFile} {
		for _, move := range [][2]string{{file(a), file(a) + ".old"}, {file(b), file(a)}, {file(a) + ".old", file(b)}} {
			if err := os.Rename(move[0], move[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
}
