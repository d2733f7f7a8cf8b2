package certs

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOpenSSLVerifies(t *testing.T) {
	openssl := program(t, "openssl")
	dir := t.TempDir()
	res := ensure(t, dir, "demo.localhost", time.Now())
	forged := filepath.Join(dir, "forged.pem")
	ca, err := loadCA(caFiles(dir, "demo.localhost"))
	if err != nil {
		t.Fatal(err)
	}
	evil, err := issue(ca, "evil.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := savePair(forged, filepath.Join(dir, "forged-key.pem"), evil); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want string // in the output
	}{
		"leaf":       {[]string{"-verify_hostname", "login.demo.localhost", res.CertFile}, ": OK"},
		"by address": {[]string{"-verify_ip", "127.0.0.1", res.CertFile}, ": OK"},
		"other name": {[]string{"-verify_hostname", "evil.example", res.CertFile}, "hostname mismatch"},
		"forged":     {[]string{"-verify_hostname", "evil.example", forged}, "permitted subtree violation"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"verify", "-x509_strict", "-CAfile", res.CAFile}, tt.args...)
			out, _ := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput() // the output says more than the status
			if !strings.Contains(string(out), tt.want) {
				t.Errorf("got %s, want %q", out, tt.want)
			}
		})
	}
	out, err := exec.CommandContext(t.Context(), openssl, "x509", "-in", res.CAFile, "-noout", "-fingerprint", "-sha256").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); !strings.HasSuffix(got, "="+res.CAFingerprint) {
		t.Errorf("fingerprint: OpenSSL says %s, we say %s", got, res.CAFingerprint)
	}
}

func TestClientsAccept(t *testing.T) {
	res := ensure(t, t.TempDir(), "demo.localhost", time.Now())
	keyPair, err := tls.LoadX509KeyPair(res.CertFile, res.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "welcome") // what arrives is checked below
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{keyPair}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	name := "login.demo.localhost:" + u.Port()

	const script = `require("https").get({host: "127.0.0.1", port: process.argv[1], servername: "login.demo.localhost"},
		r => r.pipe(process.stdout)).on("error", e => { console.error(e.message); process.exit(1) })`
	tests := map[string]struct {
		program string
		args    []string
		env     string
	}{
		"curl": {"curl", []string{"-sS", "--noproxy", "*", "--cacert", res.CAFile, "--connect-to", name + ":127.0.0.1:" + u.Port(), "https://" + name}, "_="},
		"node": {"node", []string{"-e", script, u.Port()}, "NODE_EXTRA_CA_CERTS=" + res.CAFile},
	}
	for client, tt := range tests {
		t.Run(client, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program(t, tt.program), tt.args...)
			cmd.Env = append(os.Environ(), tt.env)
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != "welcome" {
				t.Errorf("got %s (%v), want its welcome", out, err)
			}
		})
	}
}

// program returns the path of a client, or skips where there is none.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	return path
}
