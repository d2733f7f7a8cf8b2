package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const day = 24 * time.Hour

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ensure(t *testing.T, dir, domain string, at time.Time) Result {
	t.Helper()
	res, err := Ensure(dir, domain, at)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// leaf reads the server's certificate as a TLS server does.
func leaf(t *testing.T, res Result) *x509.Certificate {
	t.Helper()
	loaded, err := tls.LoadX509KeyPair(res.CertFile, res.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	return loaded.Leaf
}

func verify(t *testing.T, res Result, cert *x509.Certificate, name string, at time.Time) error {
	t.Helper()
	ca, err := os.ReadFile(res.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in the CA file")
	}
	_, err = cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at})
	return err
}

func TestLeafIsValidForTheDeployment(t *testing.T) {
	for _, domain := range []string{"demo.localhost", "demo.example", "mcp.test"} {
		t.Run(domain, func(t *testing.T) {
			res := ensure(t, t.TempDir(), domain, now)
			if !res.CreatedCA || !res.IssuedLeaf {
				t.Errorf("got %+v, want a new CA and a new leaf", res)
			}
			cert := leaf(t, res)
			names := map[string]bool{ // name → accepted
				domain: true, "login." + domain: true, "mcp." + domain: true, "client." + domain: true,
				"localhost": true, "127.0.0.1": true, "::1": true,
				"a.b." + domain: false, "evil.example": false, "127.0.0.2": false,
			}
			for name, want := range names {
				if err := verify(t, res, cert, name, now); (err == nil) != want {
					t.Errorf("%s: got %v, want accepted: %t", name, err, want)
				}
			}
			if life := cert.NotAfter.Sub(cert.NotBefore); life > 398*day {
				t.Errorf("the leaf lives %v, and browsers refuse more than 398 days", life)
			}
			if !res.NotAfter.Equal(cert.NotAfter) {
				t.Errorf("NotAfter: got %v, want %v", res.NotAfter, cert.NotAfter)
			}
		})
	}
}

// Whoever steals the CA's key cannot use it against other sites.
func TestAuthorityIsConstrained(t *testing.T) {
	tests := map[string]struct {
		domain string // for which the CA was made
		names  map[string]bool
	}{
		"common": {"demo.localhost", map[string]bool{
			"login.demo.localhost": true, "login.demo.example": true, "127.0.0.9": true,
			"evil.example": false, "example": false, "google.com": false, "10.0.0.1": false,
		}},
		"another domain": {"mcp.test", map[string]bool{
			"login.mcp.test": true, "localhost": true,
			"login.demo.example": false, "other.test": false, "test": false,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			res := ensure(t, dir, tt.domain, now)
			ca, err := loadCA(caFiles(dir, tt.domain))
			if err != nil {
				t.Fatal(err)
			}
			if !ca.cert.PermittedDNSDomainsCritical {
				t.Error("the name constraints are not critical")
			}
			if !ca.cert.NotAfter.After(now.Add(9 * 365 * day)) {
				t.Errorf("the CA expires on %v, in less than nine years", ca.cert.NotAfter)
			}
			for name, want := range tt.names {
				template := &x509.Certificate{NotBefore: now, NotAfter: now.Add(day), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
				if ip := net.ParseIP(name); ip != nil {
					template.IPAddresses = append(template.IPAddresses, ip)
				} else {
					template.DNSNames = []string{name}
				}
				forged, err := sign(template, ca)
				if err != nil {
					t.Fatal(err)
				}
				err = verify(t, res, forged.cert, name, now)
				if want && err != nil {
					t.Errorf("%s: refused: %v", name, err)
				}
				if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); !want && (!ok || invalid.Reason != x509.CANotAuthorizedForThisName) {
					t.Errorf("%s: got %v, want a breach of the name constraints", name, err)
				}
			}
		})
	}
}

func TestFilesThatAreGoodStay(t *testing.T) {
	dir := t.TempDir()
	first := ensure(t, dir, "demo.localhost", now)
	before := contents(t, dir)
	second := ensure(t, dir, "demo.localhost", now.Add(59*day))
	first.CreatedCA, first.IssuedLeaf = false, false
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("second result (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}

func TestLeafIsIssuedAnew(t *testing.T) {
	tests := map[string]struct {
		spoil  func(t *testing.T, dir string)
		domain string
		at     time.Time
	}{
		"less than 30 days left": {nil, "demo.localhost", now.Add(61 * day)},
		"expired":                {nil, "demo.localhost", now.Add(100 * day)},
		"another domain":         {nil, "demo.example", now},
		"another CA":             {nil, "mcp.test", now},
		"CA made anew": {func(t *testing.T, dir string) {
			remove(t, dir, "ca.pem", "ca-key.pem")
		}, "demo.localhost", now},
		"no leaf": {func(t *testing.T, dir string) {
			remove(t, dir, "leaf.pem")
		}, "demo.localhost", now},
		"no key": {func(t *testing.T, dir string) {
			remove(t, dir, "leaf-key.pem")
		}, "demo.localhost", now},
		"key of another certificate": {func(t *testing.T, dir string) {
			other := t.TempDir()
			ensure(t, other, "demo.localhost", now)
			write(t, dir, "leaf-key.pem", contents(t, other)["leaf-key.pem"])
		}, "demo.localhost", now},
		"rubbish": {func(t *testing.T, dir string) {
			write(t, dir, "leaf.pem", "rubbish")
		}, "demo.localhost", now},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ensure(t, dir, "demo.localhost", now)
			if tt.spoil != nil {
				tt.spoil(t, dir)
			}
			before := contents(t, dir)
			res := ensure(t, dir, tt.domain, tt.at)
			if !res.IssuedLeaf {
				t.Error("the result does not say that a leaf was issued")
			}
			if err := verify(t, res, leaf(t, res), "login."+tt.domain, tt.at); err != nil {
				t.Errorf("the new leaf: %v", err)
			}
			after := contents(t, dir)
			for _, file := range []string{"ca.pem", "ca-key.pem"} {
				if before[file] != "" && before[file] != after[file] {
					t.Errorf("%s was changed", file)
				}
			}
		})
	}
}

// `make up DOMAIN=…` works after `make up`, and back, without a step by hand.
func TestDomainsAlternate(t *testing.T) {
	dir := t.TempDir()
	common := ensure(t, dir, "demo.localhost", now)
	if res := ensure(t, dir, "demo.example", now); res.CAFingerprint != common.CAFingerprint || res.CreatedCA {
		t.Errorf("demo.example: got %+v, want the CA that is trusted already", res)
	}
	other := ensure(t, dir, "mcp.test", now)
	if want := filepath.Join(dir, "ca-mcp.test.pem"); !other.CreatedCA || other.CAFile != want {
		t.Errorf("mcp.test: got %+v, want a new CA in %s", other, want)
	}
	back := ensure(t, dir, "demo.localhost", now)
	if back.CreatedCA || back.CAFingerprint != common.CAFingerprint {
		t.Errorf("demo.localhost again: got %+v, want the first CA", back)
	}
	if again := ensure(t, dir, "mcp.test", now); again.CreatedCA || again.CAFingerprint != other.CAFingerprint {
		t.Errorf("mcp.test again: got %+v, want its CA", again)
	}
}

func TestAuthorityIsNeverOverwritten(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, dir string)
		at    time.Time
		want  []string // in the error
	}{
		"certificate alone": {func(t *testing.T, dir string) { remove(t, dir, "ca-key.pem") }, now, []string{"ca-key.pem", "bring the key back", "CERTS_DIR"}},
		"key alone":         {func(t *testing.T, dir string) { remove(t, dir, "ca.pem") }, now, []string{"ca.pem", "bring the certificate back", "CERTS_DIR"}},
		"mismatch": {func(t *testing.T, dir string) {
			write(t, dir, "ca-key.pem", contents(t, dir)["leaf-key.pem"])
		}, now, []string{"do not belong together", "move", "CERTS_DIR"}},
		"no authority": {func(t *testing.T, dir string) {
			write(t, dir, "ca.pem", contents(t, dir)["leaf.pem"])
			write(t, dir, "ca-key.pem", contents(t, dir)["leaf-key.pem"])
		}, now, []string{"not the certificate of an authority", "move"}},
		"rubbish": {func(t *testing.T, dir string) { write(t, dir, "ca.pem", "rubbish") }, now, []string{"ca.pem", "move"}},
		"other domain's CA": {func(t *testing.T, dir string) {
			other := t.TempDir()
			ensure(t, other, "mcp.test", now)
			write(t, dir, "ca.pem", contents(t, other)["ca-mcp.test.pem"])
			write(t, dir, "ca-key.pem", contents(t, other)["ca-key-mcp.test.pem"])
		}, now, []string{"cannot sign for demo.example", "move", "CERTS_DIR"}},
		"expired": {func(*testing.T, string) {}, now.Add(11 * 365 * day), []string{"expired on", "move"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ensure(t, dir, "demo.localhost", now)
			tt.spoil(t, dir)
			before := contents(t, dir)
			_, err := Ensure(dir, "demo.example", tt.at)
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q: %v", want, err)
				}
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("files (-before +after):\n%s", diff)
			}
		})
	}
}

func TestBadDomainTouchesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	for _, domain := range []string{"", "localhost", "../evil.example", "a/b.example", "*.example"} {
		if _, err := Ensure(dir, domain, now); err == nil || !strings.Contains(err.Error(), "DOMAIN") {
			t.Errorf("%q: got %v, want an error that names DOMAIN", domain, err)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory was created")
	}
}

// A leaf that ends with its CA would otherwise be issued at every call.
func TestLeafNeverOutlivesItsAuthority(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, "demo.localhost", now)
	late := now.Add(caLifetime - 10*day)
	res := ensure(t, dir, "demo.localhost", late)
	if ca, _ := readCertificate(res.CAFile); !res.NotAfter.Equal(ca.NotAfter) {
		t.Errorf("the leaf ends on %v, its CA on %v", res.NotAfter, ca.NotAfter)
	}
	if res := ensure(t, dir, "demo.localhost", late); res.IssuedLeaf {
		t.Error("a second call issued another leaf")
	}
}

func TestEnsureAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	results := make([]Result, 16)
	errs := make([]error, len(results))
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i], errs[i] = Ensure(dir, "demo.localhost", now) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	created := 0
	for _, res := range results {
		if res.CreatedCA {
			created++
		}
		if res.CAFingerprint != results[0].CAFingerprint {
			t.Errorf("two authorities: %s, %s", res.CAFingerprint, results[0].CAFingerprint)
		}
	}
	if created != 1 {
		t.Errorf("%d calls created an authority, want 1", created)
	}
	leaf(t, results[0])
}

func TestPermissionsAndNothingLeftOver(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, "demo.localhost", now)
	want := map[string]os.FileMode{".lock": 0o600, "ca.pem": 0o644, "ca-key.pem": 0o600, "leaf.pem": 0o644, "leaf-key.pem": 0o600}
	got := map[string]os.FileMode{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = info.Mode()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestLeafFileHoldsTheChain(t *testing.T) {
	res := ensure(t, t.TempDir(), "demo.localhost", now)
	chain, err := os.ReadFile(res.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(res.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, rest := pem.Decode(chain); !bytes.Equal(rest, ca) {
		t.Error("what follows the leaf is not the CA's certificate")
	}
}

// contents returns the certificates and keys in dir by file name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = string(raw)
	}
	return all
}

func write(t *testing.T, dir, name, data string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}
