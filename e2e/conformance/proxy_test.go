package conformance_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"demo.example/e2e/deployment"
)

// toGateway starts a proxy to the deployment's gateway and returns its
// address. Node's resolver does not know *.localhost everywhere; whoever uses
// a proxy leaves names to it. TLS passes through untouched.
func toGateway(t *testing.T, d *deployment.Deployment) string {
	t.Helper()
	return tunnel(t, d, net.JoinHostPort("127.0.0.1", strconv.Itoa(d.HTTPSPort)))
}

// toEditor is toGateway for a confidential client: of the ways to authenticate
// at the token endpoint, the metadata that comes through offers only the
// client's own.
//
// Where "none" is among them, as it is here for public clients, the suite
// sends no secret even if it was given one. That is right for no confidential
// client, and this server refuses it (RFC 6749 §3.2.1). All else reaches the
// suite as the deployment sent it.
func toEditor(t *testing.T, d *deployment.Deployment, method string) string {
	t.Helper()
	issuer, err := url.Parse(d.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	certs := filepath.Dir(d.CAFile)
	leaf, err := tls.LoadX509KeyPair(filepath.Join(certs, "leaf.pem"), filepath.Join(certs, "leaf-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	editor := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: d.Transport(),
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(issuer) },
		ModifyResponse: func(resp *http.Response) error {
			if !strings.HasPrefix(resp.Request.URL.Path, "/.well-known/") {
				return nil
			}
			return offerOnly(method, resp)
		},
	})
	editor.TLS = &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12}
	editor.StartTLS()
	t.Cleanup(editor.Close)
	return tunnel(t, d, editor.Listener.Addr().String())
}

// offerOnly removes all ways to authenticate but one from a metadata document.
// It adds none: the suite skips the grant, and the test fails, where the
// server does not offer that one.
func offerOnly(method string, resp *http.Response) error {
	defer resp.Body.Close()
	var metadata map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&metadata); err != nil {
		return err
	}
	const member = "token_endpoint_auth_methods_supported"
	offered, _ := metadata[member].([]any)
	metadata[member] = slices.DeleteFunc(offered, func(m any) bool { return m != method })
	body, err := json.Marshal(metadata)
	if err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// tunnel starts a proxy that knows CONNECT alone (RFC 9110 §9.3.6) and leads
// to one place whatever host of the deployment is asked for.
func tunnel(t *testing.T, d *deployment.Deployment, address string) string {
	t.Helper()
	var open sync.WaitGroup
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || !strings.HasSuffix(r.URL.Hostname(), "."+d.Domain) {
			http.Error(w, "not part of the deployment", http.StatusForbidden)
			return
		}
		there, err := net.Dial("tcp", address)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			there.Close()
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		open.Go(func() { join(here, there) })
	}))
	t.Cleanup(func() {
		proxy.Close()
		open.Wait()
	})
	return proxy.Listener.Addr().String()
}

// join copies between two connections until one of them ends.
func join(here, there net.Conn) {
	hangup := func() {
		here.Close()
		there.Close()
	}
	defer hangup()
	if _, err := io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{here, there}, {there, here}} {
		copying.Go(func() {
			defer hangup()
			_, _ = io.Copy(way[0], way[1]) // however it ends, it ends
		})
	}
	copying.Wait()
}
