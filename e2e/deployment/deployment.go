// Package deployment knows where a running deployment is reached and how to
// talk to it from this machine: its names, its certificate authority, and, for
// those who operate it, its secrets. Package launch starts one for tests.
package deployment

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrNotRunning is returned when no deployment has been started.
var ErrNotRunning = errors.New("no deployment is running here; start it with `make up`")

// The two runtimes of a deployment.
const (
	Docker = "docker"
	Local  = "local"
)

// Services are the parts of a deployment, by their names in either runtime.
var Services = []string{"gateway", "authserver", "stocksmcp", "stocksapi", "mail"}

// Deployment is where a deployment is reached.
type Deployment struct {
	Domain    string // every host is below it
	HTTPSPort int    // the one published port, on loopback
	Runtime   string // Docker or Local
	RunDir    string // secrets, logs and state
	CAFile    string // the certificate authority that signed the gateway's certificate

	network   *http.Transport
	transport http.RoundTripper // network, or what observes it
}

// Load finds the deployment that `make up` started from the file that it left
// in RUN_DIR. DOMAIN, HTTPS_PORT and CERTS_DIR override what the file says.
func Load(environ []string) (*Deployment, error) {
	env := Variables(environ)
	root, err := Root()
	if err != nil {
		return nil, err
	}
	d := Deployment{RunDir: env.path(root, "RUN_DIR", ".run")}
	if err := d.read(); err != nil {
		return nil, err
	}
	if v := env["DOMAIN"]; v != "" {
		d.Domain = v
	}
	if v := env["HTTPS_PORT"]; v != "" {
		if d.HTTPSPort, err = strconv.Atoi(v); err != nil {
			return nil, fmt.Errorf("HTTPS_PORT: %w", err)
		}
	}
	if d.CAFile == "" || env["CERTS_DIR"] != "" {
		d.CAFile = filepath.Join(env.path(root, "CERTS_DIR", "certs"), "ca.pem")
	}
	return Connect(d)
}

// file is what deployment.json holds of a deployment.
type file struct {
	Domain    string `json:"domain"`
	HTTPSPort int    `json:"https_port"`
	Runtime   string `json:"runtime"`
	CAFile    string `json:"ca_file"`
}

// read fills d from deployment.json.
func (d *Deployment) read() error {
	raw, err := os.ReadFile(filepath.Join(d.RunDir, "deployment.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotRunning
	}
	if err != nil {
		return err
	}
	var f file
	if err := json.Unmarshal(raw, &f); err != nil {
		return fmt.Errorf("deployment.json: %w; run `make up` again", err)
	}
	d.Domain, d.HTTPSPort, d.Runtime, d.CAFile = f.Domain, f.HTTPSPort, f.Runtime, f.CAFile
	return nil
}

// Save writes deployment.json for a deployment that was started by other means
// than `make up`.
func (d *Deployment) Save() error {
	raw, err := json.Marshal(file{d.Domain, d.HTTPSPort, d.Runtime, d.CAFile})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.RunDir, "deployment.json"), raw, 0o644)
}

// Connect prepares to talk to a deployment. Go's resolver knows nothing of
// *.localhost, nor of a domain that only the hosts file has, so every name
// below the domain is dialled on loopback, and no other name is dialled at
// all: a test never talks to anything but the deployment.
func Connect(d Deployment) (*Deployment, error) {
	pem, err := os.ReadFile(d.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w; `make certs` creates it", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", d.CAFile)
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	d.network = &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			if host != d.Domain && !strings.HasSuffix(host, "."+d.Domain) {
				return nil, fmt.Errorf("%s is not part of the deployment", host)
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}
	d.transport = d.network
	return &d, nil
}

// Observe puts something between this deployment's clients and the network.
func (d *Deployment) Observe(wrap func(http.RoundTripper) http.RoundTripper) {
	d.transport = wrap(d.transport)
}

// Origin returns the web origin of a service, without the port where https
// implies it. The empty name is the landing page.
func (d *Deployment) Origin(name string) string {
	host := d.Domain
	if name != "" {
		host = name + "." + host
	}
	if d.HTTPSPort != 443 {
		host += ":" + strconv.Itoa(d.HTTPSPort)
	}
	return "https://" + host
}

// Issuer identifies the authorization server.
func (d *Deployment) Issuer() string { return d.Origin("login") }

// MCPResource is the MCP server's endpoint, its resource identifier and the
// audience of its tokens, all in one.
func (d *Deployment) MCPResource() string { return d.Origin("mcp") + "/" }

// APIResource is the resource identifier of the stocks API.
func (d *Deployment) APIResource() string { return d.Origin("api") }

// ClientDocument is the demo client's metadata document, and so its client id.
func (d *Deployment) ClientDocument() string { return d.Origin("client") + "/oauth-client.json" }

// Transport trusts the deployment's certificate authority and finds its hosts.
func (d *Deployment) Transport() http.RoundTripper { return d.transport }

// Hangup closes the connections that nobody uses.
func (d *Deployment) Hangup() { d.network.CloseIdleConnections() }

// Client sends requests to the deployment. It does not follow redirects: in
// this protocol they are the message.
func (d *Deployment) Client() *http.Client { return NoRedirects(d.transport) }

// NoRedirects returns a client that hands redirects to its caller.
func NoRedirects(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Secret reads one of the deployment's secrets, which only its operator can:
// "client-gateway", "client-stocksmcp" or "client-stocks-web".
func (d *Deployment) Secret(name string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(d.RunDir, "secrets", name))
	if err != nil {
		return "", fmt.Errorf("read a secret as the operator: %w", err)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

// Check asks the gateway whether it is there.
func (d *Deployment) Check(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Issuer()+"/.well-known/oauth-authorization-server", nil)
	if err != nil {
		return err
	}
	resp, err := d.Client().Do(req)
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrNotRunning, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the authorization server's metadata answers %s; see its log", resp.Status)
	}
	return nil
}

// Root returns the root of the repository: the nearest folder above the
// working directory with a go.work.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run this inside the repository: no go.work in the working directory or above it")
		}
		dir = parent
	}
}

// Vars are environment variables by name.
type Vars map[string]string

// Variables reads NAME=value lines.
func Variables(environ []string) Vars {
	env := Vars{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	return env
}

// path returns the value of a variable that names a folder, relative to root.
func (v Vars) path(root, name, fallback string) string {
	p := v[name]
	if p == "" {
		p = fallback
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(root, p)
	}
	return p
}
