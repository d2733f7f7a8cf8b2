package bench_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"demo.example/e2e/deployment"
)

// TestCacheHit compares a request whose token the gateway knows with one that
// needs none, and with nginx, which does the same as far as it can: TLS, the
// token swapped for the JWT behind it by auth_request, that answer cached, an
// access log. One core each, the same service behind both.
func TestCacheHit(t *testing.T) {
	if os.Getenv("BENCH_GATEWAY") == "" {
		t.Skip("takes a minute, and nginx: `make bench-gateway`")
	}
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Fatal("nginx is not installed: apt-get install nginx-light")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	onCore(t, 1)
	b := newBackend(t)
	onCore(t, 0)
	gateway, nginx := b.startGateway(ctx, t), b.startNginx(ctx, t)
	plain := gateway
	plain.request = func() (*http.Request, error) { return b.request(ctx, "/openapi.json") }
	onCore(t, 1)
	for _, l := range []load{gateway, plain, nginx} {
		l.run(t, 2000)
	}
	us, open, them := gateway.run(t, 20000), plain.run(t, 20000), nginx.run(t, 20000)
	t.Logf("gateway, known token: %v", us)
	t.Logf("gateway, no token:    %v; with a token it does %.2f of its requests a second, by CPU %.2f",
		open, us.perSecond/open.perSecond, float64(open.cpu)/float64(us.cpu))
	t.Logf("nginx:                %v; the gateway does %.2f of its requests a second, by CPU %.2f",
		them, us.perSecond/them.perSecond, float64(them.cpu)/float64(us.cpu))
	us, open, them = gateway.alone(t, 5000), plain.alone(t, 5000), nginx.alone(t, 5000)
	t.Logf("one at a time: median %v with a known token, %v without (%v less), nginx %v", us.median, open.median, us.median-open.median, them.median)
}

// backend is what both programs stand in front of.
type backend struct {
	dir     string
	service *httptest.Server // that the requests are for
	auth    *httptest.Server // the authorization server
	pool    *x509.CertPool
}

const host = "api.demo.localhost"

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{dir: t.TempDir(), pool: x509.NewCertPool()}
	b.service = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/openapi.json" && !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer e") {
			http.Error(w, "not the JWT", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"stocks":[]}`)
	}))
	t.Cleanup(b.service.Close)
	jwt := phantom()
	b.auth = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/revocations":
			nothingRevoked(w, r)
			return
		case "/introspect":
		default:
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/jwt")
		w.Header().Set("X-Jwt", jwt) // nginx reads no body there
		_, _ = io.WriteString(w, jwt)
	}))
	t.Cleanup(b.auth.Close)
	b.writeCertificate(t)
	return b
}

// nothingRevoked is a stream of revocations: heartbeats.
func nothingRevoked(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		_, err := io.WriteString(w, ":\n\n")
		if err := errors.Join(err, http.NewResponseController(w).Flush()); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// phantom returns a JWT for the API that nobody here verifies: the gateway
// leaves that to the service.
func phantom() string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"iss":"https://login.demo.localhost:8443","sub":"user-1","aud":"https://api.demo.localhost:8443","exp":%d,"iat":%d,`+
		`"jti":"jti-1","client_id":"client-1","grant_id":"grant-1","scope":"stocks/read","region":"USA","client_type":"web","client_assurance_level":3}`,
		time.Now().Add(time.Hour).Unix(), time.Now().Unix())
	return encode([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"key-1"}`)) + "." + encode([]byte(claims)) + "." + encode(make([]byte, 64))
}

func (b *backend) writeCertificate(t *testing.T) {
	t.Helper()
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"demo.localhost", "*.demo.localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err2 := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	raw, err3 := x509.MarshalPKCS8PrivateKey(key)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	b.pool.AppendCertsFromPEM(certificate)
	if err := errors.Join(err1, err2, err3,
		os.WriteFile(filepath.Join(b.dir, "leaf.pem"), certificate, 0o600),
		os.WriteFile(filepath.Join(b.dir, "leaf-key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600),
		os.WriteFile(filepath.Join(b.dir, "secret"), []byte("a secret that nobody checks here"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
}

// load returns requests to a program that listens at address.
func (b *backend) load(ctx context.Context, address string, cpu func() int) load {
	return load{
		client: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: connections,
			TLSClientConfig:     &tls.Config{RootCAs: b.pool, MinVersion: tls.VersionTLS12},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		}},
		request: func() (*http.Request, error) { return b.request(ctx, "/stocks") },
		answer:  `{"stocks":[]}`,
		cpu:     cpu,
	}
}

func (b *backend) request(ctx context.Context, path string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+":8443"+path, nil)
	if err == nil {
		req.Header.Set("Authorization", "Bearer Xf4HqkqzjY1mDkX3b2c9VqkqzjY1mDkX3b2c9Vqkqzj")
	}
	return req, err
}

// startGateway starts the gateway as a release would be built, without a limit
// of what one user may ask.
func (b *backend) startGateway(ctx context.Context, t *testing.T) load {
	t.Helper()
	root, err := deployment.Root()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(b.dir, "gateway")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/gateway")
	build.Dir = filepath.Join(root, "services")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the gateway: %v\n%s", err, out)
	}
	address := freeAddress(t)
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = []string{
		"LISTEN_ADDR=" + address, "HEALTH_LISTEN_ADDR=" + freeAddress(t),
		"TLS_CERT_FILE=" + filepath.Join(b.dir, "leaf.pem"), "TLS_KEY_FILE=" + filepath.Join(b.dir, "leaf-key.pem"),
		"CLIENT_SECRET_FILE=" + filepath.Join(b.dir, "secret"), "AUTHSERVER_URL=" + b.auth.URL, "STOCKSAPI_URL=" + b.service.URL,
		"REQUESTS_PER_USER=100000000", "REQUESTS_PER_CLIENT=100000000",
	}
	start(t, cmd, address, b.dir)
	return b.load(ctx, address, func() int { return ticks(cmd.Process.Pid) })
}

// startNginx starts nginx with one worker.
func (b *backend) startNginx(ctx context.Context, t *testing.T) load {
	t.Helper()
	address := freeAddress(t)
	config := strings.NewReplacer(
		"DIR", b.dir, "ADDRESS", address,
		"AUTH", b.auth.Listener.Addr().String(), "SERVICE", b.service.Listener.Addr().String(),
	).Replace(nginxConfig)
	file := filepath.Join(b.dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "nginx", "-p", b.dir, "-c", file, "-e", filepath.Join(b.dir, "nginx-error.log"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	start(t, cmd, address, b.dir)
	return b.load(ctx, address, func() int { return ticks(cmd.Process.Pid) })
}

// nginxConfig runs everything in one process. The cache keeps what the
// authorization server answered about a token, as the gateway's does.
const nginxConfig = `
daemon off;
master_process off;
pid DIR/nginx.pid;
events { worker_connections 512; }
http {
	access_log DIR/nginx-access.log combined;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	proxy_cache_path DIR/cache keys_zone=tokens:10m;
	proxy_http_version 1.1;
	proxy_set_header Connection "";
	keepalive_requests 1000000;
	upstream auth { server AUTH; keepalive 64; keepalive_requests 1000000; }
	upstream service { server SERVICE; keepalive 64; keepalive_requests 1000000; }
	server {
		listen ADDRESS ssl;
		ssl_certificate DIR/leaf.pem;
		ssl_certificate_key DIR/leaf-key.pem;
		location / {
			auth_request /introspect;
			auth_request_set $jwt $upstream_http_x_jwt;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
			proxy_set_header Authorization "Bearer $jwt";
			proxy_set_header X-Request-Id $request_id;
			proxy_pass http://service;
		}
		location = /introspect {
			internal;
			proxy_pass http://auth;
			proxy_pass_request_body off;
			proxy_set_header Content-Length "";
			proxy_set_header Connection "";
			proxy_set_header Accept application/jwt;
			proxy_cache tokens;
			proxy_cache_key $http_authorization;
			proxy_cache_valid 200 60s;
		}
	}
}
`

// start starts a program, whose log goes into dir, and waits until it listens.
func start(t *testing.T, cmd *exec.Cmd, address, dir string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(cmd.Path)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		log.Close()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("%s does not listen: %s", cmd.Path, said)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
