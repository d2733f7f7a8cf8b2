package gateway

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCertificateFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	cfg := settings{Site: testSite, TLSCertFile: filepath.Join(dir, "cert"), TLSKeyFile: filepath.Join(dir, "key")}
	first := writeCertificate(t, cfg.TLSCertFile, cfg.TLSKeyFile, time.Now().Add(time.Hour), "*.demo.localhost")
	log := new(safeBuffer)
	c, err := loadCertificate(cfg, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c.Now = func() time.Time { return now }
	served := func() *tls.Certificate {
		t.Helper()
		return c.Get()
	}
	if !served().Leaf.Equal(first) {
		t.Fatal("not the certificate of the file")
	}

	if err := os.WriteFile(cfg.TLSCertFile, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now = now.Add(2 * time.Second)
		if !served().Leaf.Equal(first) {
			t.Fatal("a file that cannot be used took the old certificate away")
		}
	}
	if d := (&deployment{log: log}); len(d.logLines("the new certificate cannot be used; the old one stays")) != 1 {
		t.Errorf("want the mistake to be logged once:\n%s", log)
	}

	second := writeCertificate(t, cfg.TLSCertFile, cfg.TLSKeyFile, time.Now().Add(2*time.Hour), "*.demo.localhost")
	if !served().Leaf.Equal(first) {
		t.Error("the files are looked at more than once a second")
	}
	now = now.Add(2 * time.Second)
	if !served().Leaf.Equal(second) {
		t.Error("the renewed certificate is not used")
	}
	if err := os.Remove(cfg.TLSCertFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Second)
	if !served().Leaf.Equal(second) {
		t.Error("a file that is gone took the certificate away")
	}
}
