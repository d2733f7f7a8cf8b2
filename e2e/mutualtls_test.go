package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// TestServicesAnswerOnlyOneAnother: attacks G7 and G14. Whoever gets onto the
// services' network is refused in the handshake unless they hold the
// certificate of a service that has business there, and holding one is no
// reason to be believed: the token is judged all the same
// (TestAudienceMatrix).
func TestServicesAnswerOnlyOneAnother(t *testing.T) {
	if !demo.MutualTLS() {
		t.Skip("local processes listen on loopback alone, without TLS")
	}
	certificate := func(service string) tls.Certificate {
		t.Helper()
		cert, err := demo.InternalCertificate(service)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	callers := map[string][]tls.Certificate{
		"nobody":           nil,
		"a self-signed":    {selfSigned(t, "gateway")},
		"the public leaf":  {publicLeaf(t)},
		"the gateway":      {certificate("gateway")},
		"the MCP server":   {certificate("stocksmcp")},
		"the stocks API":   {certificate("stocksapi")},
		"the inbox":        {certificate("mail")},
		"the auth. server": {certificate("authserver")},
	}
	let := map[string]map[string]bool{
		"authserver": {"the gateway": true, "the MCP server": true, "the stocks API": true, "the auth. server": true},
		"stocksmcp":  {"the gateway": true, "the MCP server": true},
		"stocksapi":  {"the gateway": true, "the MCP server": true, "the stocks API": true},
		"mail":       {"the gateway": true, "the inbox": true},
	}
	for service, welcome := range let {
		base, err := demo.Inside(t.Context(), service)
		if err != nil {
			t.Fatal(err)
		}
		for caller, show := range callers {
			t.Run(caller+" at "+service, func(t *testing.T) {
				answer, err := agent.Get(t.Context(), demo.InsideClientAs(show...), base+"/healthz", "")
				if welcome[caller] {
					want(t, answer, err, http.StatusOK)
				} else if err == nil || !strings.Contains(err.Error(), "tls: ") {
					t.Errorf("got %v, %v; want the handshake refused", answer, err)
				}
			})
		}
	}
	t.Run("a certificate is no token", func(t *testing.T) {
		base, err := demo.Inside(t.Context(), "stocksapi")
		if err != nil {
			t.Fatal(err)
		}
		answer, err := agent.Get(t.Context(), demo.InsideClient(), base+"/stocks", "")
		want(t, answer, err, http.StatusUnauthorized)
	})
	t.Run("a token is no certificate", func(t *testing.T) {
		base, err := demo.Inside(t.Context(), "stocksapi")
		if err != nil {
			t.Fatal(err)
		}
		jwt := phantom(t, apiToken(t, person.John))
		if answer, err := agent.Get(t.Context(), demo.InsideClientAs(), base+"/stocks", jwt); err == nil {
			t.Errorf("answered %d %s", answer.Status, answer.Body)
		}
		if answer, err := agent.Get(t.Context(), demo.InsideClientAs(), strings.Replace(base, "https:", "http:", 1)+"/stocks", jwt); err == nil && answer.Status != http.StatusBadRequest {
			t.Errorf("plain http is answered %d %s", answer.Status, answer.Body)
		}
	})
}

// publicLeaf is the gateway's certificate for browsers, which another
// authority signed.
func publicLeaf(t *testing.T) tls.Certificate {
	t.Helper()
	file := strings.TrimSuffix(demo.CAFile, "ca.pem") + "leaf"
	cert, err := tls.LoadX509KeyPair(file+".pem", file+"-key.pem")
	if err != nil {
		t.Fatal(err)
	}
	return cert
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
