package gateway

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/site"
)

var testSite = site.Site{Domain: "demo.localhost", HTTPSPort: 8443}

const testSecret = "test secret/with+signs&that%need=encoding"

// deployment is a gateway that runs as it does in production, on a TLS port
// of its own, with fake services behind it.
type deployment struct {
	addr, healthAddr            string
	certFile, keyFile           string
	login, mcp, api, mail       *upstream
	log                         *safeBuffer
	client                      *http.Client // trusts the gateway, finds every host there, follows no redirect
	mu                          sync.Mutex
	introspection               map[string]http.HandlerFunc // by token; none: not active
	introspections, wrongSecret int
}

// start runs a gateway until the test ends. environ is added to its settings.
func start(tb testing.TB, environ ...string) *deployment {
	tb.Helper()
	d := &deployment{
		login: newUpstream(tb), mcp: newUpstream(tb), api: newUpstream(tb), mail: newUpstream(tb),
		log: new(safeBuffer), introspection: map[string]http.HandlerFunc{},
	}
	d.login.serve(d.introspect)
	dir := tb.TempDir()
	d.certFile, d.keyFile = filepath.Join(dir, "leaf.pem"), filepath.Join(dir, "leaf-key.pem")
	roots := x509.NewCertPool()
	roots.AddCert(writeCertificate(tb, d.certFile, d.keyFile, time.Now().Add(time.Hour), "demo.localhost", "*.demo.localhost"))
	secretFile := filepath.Join(dir, "secret")
	if err := os.WriteFile(secretFile, []byte(testSecret+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	d.healthAddr = freeAddr(tb)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, append([]string{
			"LISTEN_ADDR=127.0.0.1:0", "HEALTH_LISTEN_ADDR=" + d.healthAddr,
			"TLS_CERT_FILE=" + d.certFile, "TLS_KEY_FILE=" + d.keyFile, "CLIENT_SECRET_FILE=" + secretFile,
			"AUTHSERVER_URL=" + d.login.URL, "STOCKSMCP_URL=" + d.mcp.URL, "STOCKSAPI_URL=" + d.api.URL, "MAIL_URL=" + d.mail.URL,
		}, environ...), d.log)
	}()
	tb.Cleanup(func() {
		d.client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	d.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return net.Dial("tcp", d.addr) },
			MaxIdleConnsPerHost: 64,
		},
	}
	for deadline := time.Now().Add(10 * time.Second); d.addr == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("the gateway does not listen:\n%s", d.log)
		}
		var health bool
		for _, line := range d.logLines("listening") {
			if line["addr"] == d.healthAddr {
				health = true
			} else {
				d.addr = line["addr"].(string)
			}
		}
		if !health {
			d.addr = ""
		}
	}
	return d
}

// introspect is the authorization server's introspection endpoint.
func (d *deployment) introspect(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/introspect" {
		return
	}
	// The credentials are form-urlencoded: spaces are plus signs.
	if id, secret, _ := r.BasicAuth(); id != "gateway" || secret != "test+secret%2Fwith%2Bsigns%26that%25need%3Dencoding" ||
		r.Header.Get("Accept") != "application/jwt" || r.Method != http.MethodPost {
		d.mu.Lock()
		d.wrongSecret++
		d.mu.Unlock()
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	d.mu.Lock()
	d.introspections++
	answer := d.introspection[r.FormValue("token")]
	d.mu.Unlock()
	if answer == nil {
		answer = answerWith(http.StatusOK, "application/json", `{"active":false}`)
	}
	answer(w, r)
}

// issue makes token active, with a JWT of the default claims and the given
// ones, and returns the JWT.
func (d *deployment) issue(token string, claims map[string]any) string {
	jwt := testJWT("at+jwt", claims)
	d.answer(token, answerWith(http.StatusOK, "application/jwt", jwt))
	return jwt
}

// answer sets what introspection of token answers; nil: not active.
func (d *deployment) answer(token string, h http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.introspection[token] = h
}

// asked returns how often introspection was asked since the last call.
func (d *deployment) asked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.introspections
	d.introspections = 0
	return n
}

// do sends a request and returns the answer with its body read.
func (d *deployment) do(tb testing.TB, method, url, body string, headers ...string) (*http.Response, string) {
	tb.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1]) // spelled as given
	}
	resp, err := d.client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp, string(b)
}

// raw writes bytes to the gateway as HTTP/1.1 over TLS and returns all that
// comes back until it closes or falls silent.
func (d *deployment) raw(tb testing.TB, request string) string {
	tb.Helper()
	conn := d.dial(tb, &tls.Config{NextProtos: []string{"http/1.1"}})
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		tb.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	b, _ := io.ReadAll(conn)
	return string(b)
}

func (d *deployment) dial(tb testing.TB, cfg *tls.Config) *tls.Conn {
	tb.Helper()
	cfg.InsecureSkipVerify = true // the subject of these tests is HTTP
	conn, err := tls.Dial("tcp", d.addr, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return conn
}

// forwarded returns how many requests reached a service, introspection aside.
func (d *deployment) forwarded() int {
	n := 0
	for _, u := range []*upstream{d.login, d.mcp, d.api, d.mail} {
		for _, r := range u.taken() {
			if r.URL.Path != "/introspect" {
				n++
			}
		}
	}
	return n
}

// logLines returns the records with the given message.
func (d *deployment) logLines(msg string) []map[string]any {
	var lines []map[string]any
	for line := range strings.Lines(d.log.String()) {
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) == nil && record["msg"] == msg {
			lines = append(lines, record)
		}
	}
	return lines
}

// upstream is a fake service that remembers what it was sent.
type upstream struct {
	*httptest.Server
	mu      sync.Mutex
	handler http.HandlerFunc
	seen    []*http.Request
	bodies  []string

	revocations http.HandlerFunc
	events      []audit.Event // that the gateway reported
}

func newUpstream(tb testing.TB) *upstream {
	u := &upstream{revocations: http.NotFound}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, _, _ := r.BasicAuth(); id == "gateway" && r.URL.Path == "/revocations" { // not forwarded: the gateway's own
			u.mu.Lock()
			stream := u.revocations
			u.mu.Unlock()
			stream(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway gave up on the request
		}
		if id, _, _ := r.BasicAuth(); id == "gateway" && r.URL.Path == audit.Path { // the same
			var events []audit.Event
			if err := json.Unmarshal(body, &events); err != nil {
				tb.Errorf("events: %v", err)
			}
			u.mu.Lock()
			u.events = append(u.events, events...)
			u.mu.Unlock()
			w.WriteHeader(http.StatusNoContent)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		u.mu.Lock()
		u.seen, u.bodies = append(u.seen, r), append(u.bodies, string(body))
		h := u.handler
		u.mu.Unlock()
		if h != nil {
			h(w, r)
		}
	}))
	tb.Cleanup(u.Close)
	return u
}

func (u *upstream) serve(h http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handler = h
}

// taken returns the requests seen since the last call.
func (u *upstream) taken() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen, u.bodies = nil, nil
	return seen
}

func answerWith(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// testJWT returns an unsigned token in the shape of an access token for the
// MCP server. A claim of nil is left out.
func testJWT(typ string, claims map[string]any) string {
	payload := map[string]any{
		"iss": testSite.Issuer(), "sub": "john", "aud": testSite.MCPResource(), "client_id": "agent", "scope": "stocks/read",
		"exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "jti": "1",
	}
	for name, value := range claims {
		if payload[name] = value; value == nil {
			delete(payload, name)
		}
	}
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return encode(map[string]string{"alg": "ES256", "typ": typ, "kid": "k"}) + "." + encode(payload) + ".c2lnbmF0dXJl"
}

func writeCertificate(tb testing.TB, certFile, keyFile string, notAfter time.Time, names ...string) *x509.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// safeBuffer is a log that can be read while it is written.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestHealth(t *testing.T) {
	d := start(t)
	for _, u := range []*upstream{d.login, d.mcp, d.api, d.mail} {
		u.Close() // the gateway speaks for itself
	}
	for name, url := range map[string]string{
		"public": testSite.Origin("") + "/healthz",
		"inside": "http://" + d.healthAddr + "/healthz",
	} {
		client := d.client
		if name == "inside" {
			client = http.DefaultClient
		}
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || string(body) != `{"status":"ok","revocations":"lost"}`+"\n" {
			t.Errorf("%s: got %d %q", name, resp.StatusCode, body)
		}
	}
	resp, err := http.Get("http://" + d.healthAddr + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the plain port serves / with %d, want /healthz alone", resp.StatusCode)
	}
}

func TestTLS(t *testing.T) {
	d := start(t)
	t.Run("G14 TLS 1.1 is refused", func(t *testing.T) {
		conn, err := tls.Dial("tcp", d.addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		if err == nil {
			conn.Close()
			t.Error("got a connection")
		}
	})
	t.Run("G14 TLS 1.2 without authenticated encryption is refused", func(t *testing.T) {
		conn, err := tls.Dial("tcp", d.addr, &tls.Config{
			InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
		})
		if err == nil {
			conn.Close()
			t.Error("got a connection")
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		conn := d.dial(t, &tls.Config{NextProtos: []string{"h2", "http/1.1"}})
		defer conn.Close()
		if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
			t.Errorf("negotiated %q, want h2", got)
		}
	})
	t.Run("plain HTTP is refused", func(t *testing.T) {
		resp, err := http.Get("http://" + d.addr + "/")
		if err != nil {
			return
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("got %d, want 400", resp.StatusCode)
		}
	})
	t.Run("G14 security headers", func(t *testing.T) {
		for _, url := range []string{testSite.Origin("") + "/", testSite.Origin("mcp") + "/", testSite.Origin("login") + "/authorize", testSite.Origin("mail") + "/"} {
			resp, _ := d.do(t, "GET", url, "")
			if got := resp.Header.Values("Strict-Transport-Security"); len(got) != 1 {
				t.Errorf("%s: Strict-Transport-Security %q", url, got)
			}
			if got := resp.Header.Values("X-Content-Type-Options"); len(got) != 1 || got[0] != "nosniff" {
				t.Errorf("%s: X-Content-Type-Options %q", url, got)
			}
		}
	})
}

// BenchmarkGateway compares a request whose token is in the cache with one
// that needs none: the difference is what the swap costs.
func BenchmarkGateway(b *testing.B) {
	d := start(b, "TOKEN_CACHE_TTL=1m", "REQUESTS_PER_USER=1000000000", "REQUESTS_PER_CLIENT=1000000000")
	d.issue("opaque", nil)
	d.mcp.Config.Handler = answerWith(http.StatusOK, "application/json", "{}")
	d.login.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/introspect" {
			d.introspect(w, r)
			return
		}
		_, _ = io.WriteString(w, "{}")
	})
	for name, url := range map[string]string{"plain": testSite.Origin("login") + "/", "cached token": testSite.Origin("mcp") + "/"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, _ := http.NewRequest(http.MethodGet, url, nil)
					req.Header.Set("Authorization", "Bearer opaque")
					resp, err := d.client.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						b.Error(fmt.Errorf("status %d", resp.StatusCode))
						return
					}
				}
			})
		})
	}
}
