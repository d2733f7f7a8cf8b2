package authserver

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"demo.example/services/internal/certs"
	"demo.example/services/internal/site"
)

// clientHost is the host of a client that describes itself by a document, with
// a certificate of the local authority.
type clientHost struct {
	*httptest.Server
	calls atomic.Int32

	mu      sync.Mutex
	handler http.HandlerFunc
}

// newClientHost returns a server and a client's host that it may reach.
func newClientHost(t *testing.T) (*harness, *clientHost) {
	t.Helper()
	dir := t.TempDir()
	made, err := certs.Ensure(dir, "demo.localhost", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := tls.LoadX509KeyPair(made.CertFile, made.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	host := &clientHost{}
	host.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host.calls.Add(1)
		host.mu.Lock()
		handler := host.handler
		host.mu.Unlock()
		handler(w, r)
	}))
	host.TLS = &tls.Config{Certificates: []tls.Certificate{leaf}}
	host.Config.ErrorLog = discard
	host.StartTLS()
	t.Cleanup(func() { host.CloseClientConnections(); host.Close() })
	h := newHarness(t, func(c *Config) { c.CAFile, c.ClientHostAddr = made.CAFile, host.Listener.Addr().String() })
	host.serve(h.document(), "")
	return h, host
}

func (c *clientHost) answer(f http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handler = f
}

// serve answers every path with a document.
func (c *clientHost) serve(document map[string]any, cacheControl string) {
	raw, err := json.Marshal(document)
	if err != nil {
		panic(err) // made of strings
	}
	c.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if cacheControl != "" {
			w.Header().Set("Cache-Control", cacheControl)
		}
		_, _ = w.Write(raw)
	})
}

// documentAt is a client id at the client's host.
func documentAt(path string) string {
	return site.Site{Domain: "demo.localhost", HTTPSPort: 8443}.Origin("client") + path
}

// document is a good metadata document.
func (h *harness) document() map[string]any {
	return map[string]any{
		"client_id": h.cfg.ClientDocument(), "client_name": "Document Client", "redirect_uris": []string{callback},
		"grant_types": []string{"authorization_code", "refresh_token"}, "token_endpoint_auth_method": "none",
	}
}

// isLocal reports whether an answer is a page on this server that neither
// redirects nor asks anything of the user.
func isLocal(a answer) bool {
	return a.Status == http.StatusBadRequest && a.Header.Get("Location") == "" && strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") && !strings.Contains(a.Body, "<form")
}

func (h *harness) authorizeAs(client string) answer {
	h.Helper()
	return h.get(h.newBrowser(), "/authorize?"+h.authorizeQuery(client).Encode())
}

// refusing returns an address that nobody listens at.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDocumentClient(t *testing.T) {
	h, host := newClientHost(t)
	id := h.cfg.ClientDocument()
	browser := h.newBrowser()
	page := h.signInAs(browser, h.authorizeQuery(id), john)
	for _, want := range []string{"Document Client", "described by a document at client.demo.localhost:8443", "127.0.0.1:7777"} { // O17
		if !strings.Contains(page.Body, want) {
			t.Errorf("the consent page does not say %q", want)
		}
	}
	// D18: a name and a domain are no proof of the program behind localhost.
	if !strings.Contains(page.Body, "Any program on this computer can call itself that") {
		t.Error("D18: no warning of a redirect to localhost")
	}
	tokens := h.post(h.newBrowser(), "/token", redeemForm(id, h.decide(browser, page, "allow").Get("code")))
	if tokens.Status != http.StatusOK {
		t.Fatalf("token: %d %s", tokens.Status, tokens.Body)
	}
	got := h.introspected(tokens.JSON["access_token"].(string))
	if got["client_id"] != id || got["client_assurance_level"] != 2.0 || got["client_type"] != "mcp" {
		t.Errorf("claims: %v", got)
	}
	if n := host.calls.Load(); n != 1 {
		t.Errorf("the document was fetched %d times, want once", n)
	}

	// The document moves its redirect URI: the old one is the client's no more.
	moved := h.document()
	moved["redirect_uris"] = []string{"https://client.demo.localhost:8443/cb"}
	host.serve(moved, "")
	h.wait(time.Hour)
	query := h.authorizeQuery(id)
	if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); !isLocal(a) {
		t.Errorf("a redirect URI that the document no longer lists: %d", a.Status)
	}
	query.Set("redirect_uri", "https://client.demo.localhost:8443/cb")
	if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); a.Status != http.StatusSeeOther {
		t.Errorf("the new redirect URI: %d %s", a.Status, a.Body)
	}
	query.Set("redirect_uri", "https://client.demo.localhost:8443/cb/") // D18: exact still
	if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); !isLocal(a) {
		t.Errorf("nearly the new redirect URI: %d", a.Status)
	}

	// Out of reach: nobody is sent anywhere, and whoever has a token keeps it.
	host.CloseClientConnections()
	host.Listener.Close()
	h.wait(2 * time.Minute)
	if a := h.get(h.newBrowser(), "/authorize?"+query.Encode()); !isLocal(a) || strings.Contains(a.Body, "refused") {
		t.Errorf("out of reach: %d %s", a.Status, a.Body)
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {id}, "refresh_token": {tokens.JSON["refresh_token"].(string)}}
	if a := h.post(h.newBrowser(), "/token", refresh); a.Status != http.StatusOK {
		t.Errorf("refresh while the document is out of reach: %d %s", a.Status, a.Body)
	}
}

// TestDocumentGoneInTheMiddle: the user decides about the client as it was when
// the request began; nothing is fetched again.
func TestDocumentGoneInTheMiddle(t *testing.T) {
	h, host := newClientHost(t)
	browser := h.newBrowser()
	page := h.signInAs(browser, h.authorizeQuery(h.cfg.ClientDocument()), john)
	host.answer(http.NotFound)
	h.wait(5 * time.Minute)
	form := fields(page)
	form.Set("decision", "allow")
	if a := h.post(browser, "/consent", form); !strings.Contains(a.Header.Get("Location"), "code=") {
		t.Errorf("consent to a client whose document is gone: %d %s", a.Status, a.Body)
	}
}
