package mtls

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"demo.example/services/internal/certs"
)

var services = []string{"gateway", "authserver", "stocksmcp", "stocksapi", "mail"}

// pki creates certificates as the setup container does.
func pki(t *testing.T, dir string) certs.Internal {
	t.Helper()
	internal, err := certs.EnsureInternal(dir, services, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return internal
}

func settingsOf(internal certs.Internal, service string) Settings {
	return Settings{InternalCertFile: internal.CertFile(service), InternalKeyFile: internal.KeyFile(service), InternalCAFile: internal.CAFile()}
}

func load(t *testing.T, internal certs.Internal, service string) *Identity {
	t.Helper()
	id, err := Load(settingsOf(internal, service), service, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// serve runs a service that only says hello, on loopback.
func serve(t *testing.T, id *Identity) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	srv.TLS = id.Server()
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// at finds every name at addr.
func at(addr string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
}

// call asks the service called name.
func call(t *testing.T, transport *http.Transport, name string) error {
	t.Helper()
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("https://" + name + ":1/")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
		t.Errorf("answered %q, %v", body, err)
	}
	return nil
}

// The table of callers, through real handshakes: G7, G14.
func TestWhoMayCallWhom(t *testing.T) {
	internal := pki(t, t.TempDir())
	want := map[string][]string{ // by caller; each itself as well
		"gateway":    {"authserver", "stocksmcp", "stocksapi", "mail"},
		"authserver": nil,
		"stocksmcp":  {"authserver", "stocksapi"},
		"stocksapi":  {"authserver"},
		"mail":       nil,
	}
	for _, callee := range services {
		addr := serve(t, load(t, internal, callee))
		for _, caller := range services {
			transport := at(addr)
			load(t, internal, caller).Secure(transport)
			err := call(t, transport, callee)
			if may := caller == callee || slices.Contains(want[caller], callee); may != (err == nil) {
				t.Errorf("%s calls %s: %v, want allowed: %t", caller, callee, err, may)
			}
		}
	}
}

// Whoever has no certificate of the services' authority is refused in the
// handshake: G7, G14.
func TestStrangersAreRefused(t *testing.T) {
	internal, other := pki(t, t.TempDir()), pki(t, t.TempDir())
	addr := serve(t, load(t, internal, "stocksmcp"))
	good, err := tls.LoadX509KeyPair(internal.CertFile("gateway"), internal.KeyFile("gateway"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := tls.LoadX509KeyPair(other.CertFile("gateway"), other.KeyFile("gateway"))
	if err != nil {
		t.Fatal(err)
	}
	own := selfSigned(t, "gateway")
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(internal.CAFile())
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatal(err)
	}
	tests := map[string]struct {
		show    []tls.Certificate
		version uint16
		ok      bool
	}{
		"the gateway":                  {show: []tls.Certificate{good}, ok: true},
		"no certificate":               {},
		"self-signed":                  {show: []tls.Certificate{own}},
		"another deployment's gateway": {show: []tls.Certificate{foreign}},
		"the gateway, by TLS 1.2":      {show: []tls.Certificate{good}, version: tls.VersionTLS12},
		"a chain that ends in our own": {show: []tls.Certificate{{Certificate: append(slices.Clone(own.Certificate), good.Certificate...), PrivateKey: own.PrivateKey}}},
		"another's key to a good leaf": {show: []tls.Certificate{{Certificate: good.Certificate, PrivateKey: own.PrivateKey}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			config := &tls.Config{RootCAs: roots, MaxVersion: tt.version, MinVersion: tls.VersionTLS12}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(tt.show) == 0 {
					return new(tls.Certificate), nil
				}
				return &tt.show[0], nil
			}
			transport := at(addr)
			transport.TLSClientConfig = config
			err := call(t, transport, "stocksmcp")
			if tt.ok != (err == nil) {
				t.Errorf("got %v, want let in: %t", err, tt.ok)
			}
			if err != nil && !strings.Contains(err.Error(), "tls:") {
				t.Errorf("got %v, want the handshake to fail", err)
			}
		})
	}
	resp, err := http.Get("http://" + addr + "/")
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain http is answered %s", resp.Status)
		}
	}
}

// A caller sends nothing to somebody who is not whom it wants to call.
func TestCallersCheckWhomTheyCall(t *testing.T) {
	internal, other := pki(t, t.TempDir()), pki(t, t.TempDir())
	for name, id := range map[string]*Identity{
		"another service's certificate":    load(t, internal, "mail"),
		"another deployment's certificate": load(t, other, "authserver"),
	} {
		addr := serve(t, id)
		transport := at(addr)
		load(t, internal, "gateway").Secure(transport)
		if err := call(t, transport, "authserver"); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

// Renewed certificates, even of a new authority, are used without a restart.
func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	internal := pki(t, dir)
	server, client := load(t, internal, "stocksapi"), load(t, internal, "stocksmcp")
	now := time.Now()
	server.files.Now, client.files.Now = func() time.Time { return now }, func() time.Time { return now }
	addr := serve(t, server)
	ask := func() error {
		transport := at(addr)
		client.Secure(transport)
		return call(t, transport, "stocksapi")
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	before := server.files.Get().cert.Leaf
	if err := os.Remove(internal.CAFile()); err != nil {
		t.Fatal(err)
	}
	if again := pki(t, dir); !again.CreatedCA {
		t.Fatal("the authority is not new")
	}
	now = now.Add(2 * time.Second)
	if err := ask(); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
	if server.files.Get().cert.Leaf.Equal(before) {
		t.Error("the renewed certificate is not used")
	}
	if err := os.WriteFile(internal.CAFile(), []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Second)
	if err := ask(); err != nil {
		t.Errorf("a file that cannot be used took the old one away: %v", err)
	}
}

func TestLoad(t *testing.T) {
	internal := pki(t, t.TempDir())
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := settingsOf(internal, "mail")
	tests := map[string]struct {
		change func(*Settings)
		want   string // first words of the error
	}{
		"good":               {func(*Settings) {}, ""},
		"no certificate":     {func(s *Settings) { s.InternalCertFile = "" }, "INTERNAL_KEY_FILE: is set without INTERNAL_CERT_FILE"},
		"no key":             {func(s *Settings) { s.InternalKeyFile = "" }, "INTERNAL_CERT_FILE: is set without INTERNAL_KEY_FILE"},
		"no authority":       {func(s *Settings) { s.InternalCAFile = "" }, "INTERNAL_CERT_FILE: is set without INTERNAL_CA_FILE"},
		"one alone":          {func(s *Settings) { *s = Settings{InternalCAFile: s.InternalCAFile} }, "INTERNAL_CA_FILE: is set without INTERNAL_CERT_FILE and INTERNAL_KEY_FILE"},
		"missing file":       {func(s *Settings) { s.InternalCAFile = garbage + "-not" }, "INTERNAL_CA_FILE: "},
		"garbage authority":  {func(s *Settings) { s.InternalCAFile = garbage }, "INTERNAL_CA_FILE: "},
		"garbage key":        {func(s *Settings) { s.InternalKeyFile = garbage }, "INTERNAL_CERT_FILE, INTERNAL_KEY_FILE: "},
		"another's key":      {func(s *Settings) { s.InternalKeyFile = internal.KeyFile("gateway") }, "INTERNAL_CERT_FILE, INTERNAL_KEY_FILE: "},
		"another's pair":     {func(s *Settings) { *s = settingsOf(internal, "gateway") }, "INTERNAL_CERT_FILE: "},
		"another authority":  {func(s *Settings) { s.InternalCAFile = pki(t, t.TempDir()).CAFile() }, "INTERNAL_CERT_FILE: "},
		"nothing: no answer": {func(s *Settings) { *s = Settings{} }, ""},
	}
	for name, tt := range tests {
		s := good
		tt.change(&s)
		id, err := Load(s, "mail", slog.New(slog.DiscardHandler))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want an error that begins with %q", name, err, tt.want)
		}
		if s == (Settings{}) && (id != nil || id.Server() != nil) {
			t.Errorf("%s: got an identity", name)
		}
	}
	if _, err := Load(settingsOf(internal, "mail"), "billing", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a service that is not in the table gets an identity")
	}
}

// A refused caller is named in the log of whom it called.
func TestRefusalIsLogged(t *testing.T) {
	internal := pki(t, t.TempDir())
	log := make(chan string, 1)
	id, err := Load(settingsOf(internal, "stocksmcp"), "stocksmcp", slog.New(slog.NewTextHandler(lines(log), nil)))
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, id)
	transport := at(addr)
	load(t, internal, "stocksapi").Secure(transport)
	if err := call(t, transport, "stocksmcp"); err == nil {
		t.Fatal("let in")
	}
	if line := <-log; !strings.Contains(line, "caller refused") || !strings.Contains(line, "stocksapi") {
		t.Errorf("logged %q", line)
	}
}

// lines sends every write to a channel.
type lines chan<- string

func (l lines) Write(p []byte) (int, error) {
	l <- string(bytes.Clone(p))
	return len(p), nil
}

// selfSigned is what anybody can make.
func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
