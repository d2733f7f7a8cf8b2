package certs

import (
	"strings"
	"testing"
)

// What can go wrong before a trust store is touched. The rest changes the
// machine, and is not for a test.
func TestTrustRefuses(t *testing.T) {
	dir := t.TempDir()
	res := ensure(t, dir, "demo.localhost", now)
	for _, do := range []func(string) error{Trust, Untrust} {
		if err := do(dir + "/missing.pem"); err == nil || !strings.Contains(err.Error(), "make certs") {
			t.Errorf("missing file: got %v, want an error that says what to do", err)
		}
		if err := do(res.CertFile); err == nil || !strings.Contains(err.Error(), "not the certificate of an authority") {
			t.Errorf("leaf: got %v, want it refused", err)
		}
	}
}
