// Package chain_test runs the four services together, as their programs do,
// over a database in which users are signed in already. The tests of package
// e2e do the same with the programs themselves, and sign in.
package chain_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"demo.example/services/authserver"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/store/sqlite"
	"demo.example/services/gateway"
	"demo.example/services/internal/certs"
	"demo.example/services/internal/site"
	"demo.example/services/stocksapi"
	"demo.example/services/stocksmcp"
)

// A chain is the gateway and, behind it, the authorization server, the MCP
// server and the stocks API.
type chain struct {
	site.Site
	client *http.Client // trusts the gateway, and finds every host there
}

// The clients of the demo that users are signed in at.
const (
	agent  = "mcp-inspector" // for the MCP server
	webApp = "stocks-web"    // for the API
)

const secretFor = "-secret-0123456789abcdef0123456789"

// startChain runs the services until the test ends.
func startChain(t testing.TB, users []*user) *chain {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"key-encryption-key", "client-gateway", "client-stocksmcp", "client-stocks-web", "client-stocks-report", "client-stocksapi", "client-admin"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name+secretFor), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &chain{Site: site.Site{Domain: "demo.localhost", HTTPSPort: 8443}}
	c.signIn(t, filepath.Join(dir, "authserver.db"), users)
	pki, err := certs.Ensure(dir, c.Domain, time.Now())
	if err != nil {
		t.Fatal(err)
	}

	front, login, mcp, api := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	inside := []string{"AUTHSERVER_URL=http://" + login, "STOCKSMCP_URL=http://" + mcp, "STOCKSAPI_URL=http://" + api,
		"CLIENT_ID=somebody"} // is no setting: the authorization server knows its services by name
	c.run(t, login, authserver.Run, "LISTEN_ADDR="+login, "SECRETS_DIR="+dir, "DATABASE_FILE="+filepath.Join(dir, "authserver.db"))
	c.run(t, api, stocksapi.Run, append(inside, "LISTEN_ADDR="+api, "ORDERS_FILE="+filepath.Join(dir, "orders.db"), "CLIENT_SECRET_FILE="+filepath.Join(dir, "client-stocksapi"))...)
	c.run(t, mcp, stocksmcp.Run, append(inside, "LISTEN_ADDR="+mcp, "CLIENT_SECRET_FILE="+filepath.Join(dir, "client-stocksmcp"))...)
	c.run(t, front, gateway.Run, append(inside, "LISTEN_ADDR="+front, "HEALTH_LISTEN_ADDR="+freeAddr(t),
		"TLS_CERT_FILE="+pki.CertFile, "TLS_KEY_FILE="+pki.KeyFile, "CLIENT_SECRET_FILE="+filepath.Join(dir, "client-gateway"),
		"REQUESTS_PER_USER=1000000", "REQUESTS_PER_CLIENT=1000000", "REFUSALS_PER_IP=1000000")...) // all users are at one client and one address

	ca, err := os.ReadFile(pki.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, front)
		},
	}}
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

// run runs a service until the test ends, and waits until it listens.
func (c *chain) run(t testing.TB, addr string, run func(context.Context, []string, io.Writer) error, environ ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	log := new(lastLines)
	go func() { done <- run(ctx, environ, log) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("%v\n%s", err, log)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing listens at %s:\n%s", addr, log)
		}
	}
}

// A user has tokens for both resources.
type user struct {
	name, region string
	mcp, api     string        // access tokens
	ago          time.Duration // since the sign-in
}

// signIn puts the users and their tokens into the database, as if they had
// signed in, and names them.
func (c *chain) signIn(t testing.TB, file string, users []*user) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(100) // so that they share transactions
	for i, u := range users {
		g.Go(func() error {
			u.name, u.mcp, u.api = fmt.Sprintf("user-%04d", i), rand.Text()+rand.Text(), rand.Text()+rand.Text()
			err := db.AddUser(ctx, store.User{ID: u.name, Email: u.name + "@demo.example", Region: u.region, Role: "user", Status: store.UserApproved})
			if err == nil {
				err = addToken(ctx, db, u, agent, c.MCPResource(), "stocks/read", u.mcp)
			}
			if err == nil {
				err = addToken(ctx, db, u, webApp, c.APIResource(), "stocks/read stocks/trade", u.api)
			}
			return err
		})
	}
	err = g.Wait()
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// addToken stores what the user allowed a client, and an access token for it.
func addToken(ctx context.Context, db *sqlite.DB, u *user, clientID, resource, scope, secret string) error {
	then := time.Now().Add(-u.ago)
	grant := store.Grant{
		ID: rand.Text(), UserID: u.name, ClientID: clientID, Resource: resource, Scope: scope, AuthTime: then, CreatedAt: then, ExpiresAt: then.Add(time.Hour),
	}
	if err := db.AddGrant(ctx, grant, store.Code{Hash: store.HashOf(rand.Text()), GrantID: grant.ID, ClientID: clientID, ExpiresAt: then}); err != nil {
		return err
	}
	return db.AddTokens(ctx, store.Token{
		Hash: store.HashOf(secret), ID: rand.Text(), Kind: store.AccessToken, GrantID: grant.ID, Scope: scope,
		IssuedAt: then, ExpiresAt: then.Add(grants.AccessLifetime),
	})
}

// do sends a request through the gateway.
func (c *chain) do(ctx context.Context, method, address, token, body string) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodPost && address == c.MCPResource() {
		req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	}
	return c.send(req)
}

// post sends a form to the authorization server, through the gateway.
func (c *chain) post(ctx context.Context, clientID, path string, form url.Values) (status int, answer string, err error) {
	if clientID == agent { // which has no secret
		form.Set("client_id", clientID)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Issuer()+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if clientID != agent {
		req.SetBasicAuth(clientID, "client-"+clientID+secretFor)
	}
	return c.send(req)
}

func (c *chain) send(req *http.Request) (status int, answer string, err error) {
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

// revoke ends an access token of a client.
func (c *chain) revoke(ctx context.Context, clientID, token string) error {
	status, answer, err := c.post(ctx, clientID, "/revoke", url.Values{"token": {token}})
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/revoke: %d %s", status, answer)
	}
	return err
}

// lastLines keeps the end of a log, for a test that fails.
type lastLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 16<<10 {
		l.buf.Reset()
	}
	return l.buf.Write(p)
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
