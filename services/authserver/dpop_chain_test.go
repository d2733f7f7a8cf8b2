package authserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"demo.example/services/gateway"
	"demo.example/services/internal/certs"
	"demo.example/services/internal/dpop/dpoptest"
	"demo.example/services/internal/token"
)

// TestBoundTokenThroughTheGateway: the real authorization server, the real
// gateway before it, and a resource that verifies JWTs as the services do.
func TestBoundTokenThroughTheGateway(t *testing.T) {
	h := newHarness(t)
	inside := httptest.NewServer(h.routes()) // as the gateway reaches it
	t.Cleanup(inside.Close)
	guard := token.Guard{
		Verifier: token.NewVerifier(h.cfg.Issuer(), h.cfg.MCPResource(), inside.URL+"/jwks", inside.Client()),
		Log:      slog.New(slog.DiscardHandler),
	}
	resource := httptest.NewServer(guard.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"cnf": token.ClaimsFrom(r.Context()).Confirmation, "proofs": len(r.Header.Values("DPoP"))})
	})))
	t.Cleanup(resource.Close)
	transport := runGateway(t, h.cfg.Domain, filepath.Join(h.cfg.SecretsDir, "client-gateway"), "AUTHSERVER_URL="+inside.URL, "STOCKSMCP_URL="+resource.URL)

	agent, key := h.agent(), dpoptest.NewKey(t)
	holder := &http.Client{Transport: &dpoptest.Transport{Key: key, Base: transport}}
	thief := &http.Client{Transport: &dpoptest.Transport{Key: dpoptest.NewKey(t), Base: transport}}
	nobody := &http.Client{Transport: transport}

	tokens := h.post(holder, "/token", redeemForm(agent, h.code(h.authorizeQuery(agent), john)))
	if tokens.Status != http.StatusOK || tokens.JSON["token_type"] != "DPoP" {
		t.Fatalf("token: %d %s", tokens.Status, tokens.Body)
	}
	access := tokens.JSON["access_token"].(string)
	call := func(c *http.Client, scheme string) answer {
		t.Helper()
		return h.do(c, h.request(http.MethodPost, h.cfg.MCPResource(), "{}", "Authorization", scheme+" "+access))
	}
	for range 2 {
		a := call(holder, "DPoP")
		if a.Status != http.StatusOK || a.JSON["proofs"] != 0.0 || a.JSON["cnf"].(map[string]any)["jkt"] != key.Thumbprint() {
			t.Fatalf("the resource: %d %s", a.Status, a.Body)
		}
	}
	for name, a := range map[string]answer{
		"D-POP stolen, as Bearer":           call(nobody, "Bearer"),
		"D-POP stolen, without a proof":     call(nobody, "DPoP"),
		"D-POP stolen, with another key":    call(thief, "DPoP"),
		"D-POP downgraded by its own owner": call(holder, "Bearer"),
	} {
		if a.Status != http.StatusUnauthorized || !strings.Contains(strings.Join(a.Header.Values("WWW-Authenticate"), ", "), `DPoP error="invalid_`) {
			t.Errorf("%s: %d %v %s", name, a.Status, a.Header, a.Body)
		}
	}
	refreshed := h.post(holder, "/token", refreshForm(agent, tokens.JSON["refresh_token"]))
	if access, _ = refreshed.JSON["access_token"].(string); call(holder, "DPoP").Status != http.StatusOK {
		t.Errorf("the refreshed token does not pass: %d %s", refreshed.Status, refreshed.Body)
	}
}

// runGateway starts a gateway until the test ends and returns a transport that
// finds every host there.
func runGateway(t *testing.T, domain, secretFile string, environ ...string) *http.Transport {
	t.Helper()
	cert, err := certs.Ensure(t.TempDir(), domain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(cert.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	addr := freeAddr(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- gateway.Run(ctx, append([]string{
			"LISTEN_ADDR=" + addr, "HEALTH_LISTEN_ADDR=" + freeAddr(t), "CLIENT_SECRET_FILE=" + secretFile,
			"TLS_CERT_FILE=" + cert.CertFile, "TLS_KEY_FILE=" + cert.KeyFile,
		}, environ...), io.Discard)
	}()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return transport
		}
		if time.Now().After(deadline) {
			t.Fatalf("the gateway does not listen: %v", err)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
