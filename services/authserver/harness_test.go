package authserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store/sqlite"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/logtest"
	"demo.example/services/internal/site"
)

// harness is a running authorization server with a clock and a mailbox of its
// own, reached under its public name.
type harness struct {
	testing.TB
	*server
	mail *mailbox
	logs *logtest.Buffer
	http *httptest.Server

	mu     sync.Mutex
	offset time.Duration
}

const john, jane = "john.doe@demo.example", "jane.test@demo.example"

// verifier and challenge are a PKCE pair.
var (
	verifier  = strings.Repeat("v", 43)
	challenge = func() string {
		sum := sha256.Sum256([]byte(verifier))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}()
)

// secretNames are the files that the server finds in SECRETS_DIR.
var secretNames = []string{"key-encryption-key", "client-gateway", "client-stocksmcp", "client-stocks-web", "client-stocks-report", "client-stocksapi", "client-admin"}

const secretFor = "-secret-0123456789abcdef0123456789"

// emptyFiles are the databases of a server that was started once. Making
// tables is most of what starting one costs.
var emptyFiles = sync.OnceValues(func() (files map[string][]byte, err error) {
	dir, err := os.MkdirTemp("", "authserver-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cfg := Config{DatabaseFile: filepath.Join(dir, "authserver.db")}
	db, err := sqlite.Open(context.Background(), cfg.DatabaseFile)
	if err != nil {
		return nil, err
	}
	kept, err := trail.Open(context.Background(), trail.Config{File: cfg.auditFile()})
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	if err := kept.Close(); err != nil {
		return nil, err
	}
	files = map[string][]byte{}
	for _, file := range []string{cfg.DatabaseFile, cfg.auditFile()} {
		if files[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// newConfig returns the settings of a server whose files are a test's own.
func newConfig(t testing.TB, change ...func(*Config)) Config {
	t.Helper()
	dir := t.TempDir()
	empty, err := emptyFiles()
	if err != nil {
		t.Fatal(err)
	}
	files := maps.Clone(empty)
	for _, name := range secretNames {
		files[name] = []byte(name + secretFor)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{
		Site: site.Site{Domain: "demo.localhost", HTTPSPort: 8443}, SecretsDir: dir,
		DatabaseFile: filepath.Join(dir, "authserver.db"), AuditRetention: time.Hour, AuditMaxEvents: 100_000, AllowedOrigins: []string{"http://localhost:6274"},
		KeyLifetime: 30 * 24 * time.Hour, PasscodesPerAddress: 60, PasscodesPerIP: 300, PasscodesTotal: 3000,
		AuthorizationsPerIP: 10_000, RegistrationsPerIP: 1000, RegistrationsTotal: 10_000,
	}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

func newHarness(t testing.TB, change ...func(*Config)) *harness {
	t.Helper()
	cfg := newConfig(t, change...)
	db, err := sqlite.Open(t.Context(), cfg.DatabaseFile)
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{TB: t, mail: &mailbox{}, logs: &logtest.Buffer{}}
	h.server, err = newServer(t.Context(), cfg, db, h.mail, h.time, slog.New(slog.NewJSONHandler(h.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	h.clients.Documents.FailureTime = 0 // TestFailuresTakeOneTime has it
	handler, err := h.handler()
	if err != nil {
		t.Fatal(err)
	}
	h.http = httptest.NewTLSServer(handler)
	h.back.Transport = h.newBrowser().Transport // the gateway is not there
	t.Cleanup(func() {
		h.http.Close()
		if err := errors.Join(h.trail.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *harness) time() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.offset)
}

// wait moves the server's clock.
func (h *harness) wait(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offset += d
}

// browser is an HTTP client with cookies that follows no redirect.
func (h *harness) newBrowser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.Fatal(err)
	}
	transport := h.http.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // the name in httptest's certificate
	addr := h.http.Listener.Addr().String()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	h.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is a response that was read.
type answer struct {
	Status int
	Header http.Header
	Body   string
	JSON   map[string]any
}

func (h *harness) do(c *http.Client, req *http.Request) answer {
	h.Helper()
	resp, err := c.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	a := answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	_ = json.Unmarshal(body, &a.JSON) // pages are not JSON
	return a
}

func (h *harness) url(path string) string { return h.cfg.Issuer() + path }

func (h *harness) get(c *http.Client, path string, header ...string) answer {
	h.Helper()
	return h.do(c, h.request(http.MethodGet, path, "", header...))
}

// post sends a form. An empty user means no Basic credentials.
func (h *harness) post(c *http.Client, path string, form url.Values, header ...string) answer {
	h.Helper()
	return h.do(c, h.request(http.MethodPost, path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...))
}

func (h *harness) request(method, path, body string, header ...string) *http.Request {
	h.Helper()
	target := path
	if !strings.HasPrefix(path, "https://") {
		target = h.url(path)
	}
	req, err := http.NewRequestWithContext(h.Context(), method, target, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// basic returns the Authorization header of one of the reviewed clients.
func basic(client string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(client+":client-"+client+secretFor))}
}

// register registers a client and returns its id.
func (h *harness) register(metadata map[string]any) string {
	h.Helper()
	a := h.registerRaw(metadata)
	if a.Status != http.StatusCreated {
		h.Fatalf("register: %d %s", a.Status, a.Body)
	}
	return a.JSON["client_id"].(string)
}

func (h *harness) registerRaw(metadata map[string]any) answer {
	h.Helper()
	body, err := json.Marshal(metadata)
	if err != nil {
		h.Fatal(err)
	}
	return h.do(h.newBrowser(), h.request(http.MethodPost, "/register", string(body), "Content-Type", "application/json"))
}

const callback = "http://127.0.0.1:7777/callback"

// agent registers a public client as MCP clients do.
func (h *harness) agent() string {
	h.Helper()
	return h.register(map[string]any{
		"client_name": "Test Agent", "redirect_uris": []string{callback}, "token_endpoint_auth_method": "none",
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
	})
}

// authorizeQuery is a complete authorization request.
func (h *harness) authorizeQuery(client string) url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {callback}, "state": {"st"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "resource": {h.cfg.MCPResource()}, "scope": {"stocks/read"},
	}
}

var hidden = regexp.MustCompile(`name="(request|csrf|as)" value="([^"]*)"`)

// fields returns the hidden fields of a page.
func fields(page answer) url.Values {
	out := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page.Body, -1) {
		out.Set(m[1], m[2])
	}
	return out
}

// signIn walks from the authorization request to the consent page.
func (h *harness) signInAs(browser *http.Client, query url.Values, email string) answer {
	h.Helper()
	page := h.follow(browser, h.get(browser, "/authorize?"+query.Encode()))
	if strings.Contains(page.Body, `name="decision"`) {
		return page
	}
	form := fields(page)
	form.Set("email", email)
	page = h.follow(browser, h.post(browser, "/signin", form))
	form = fields(page)
	form.Set("passcode", h.mail.passcode(email))
	return h.follow(browser, h.post(browser, "/passcode", form))
}

// follow follows redirects within the server.
func (h *harness) follow(browser *http.Client, a answer) answer {
	h.Helper()
	for range 5 {
		location := a.Header.Get("Location")
		if !strings.HasPrefix(location, "/") {
			return a
		}
		a = h.get(browser, location)
	}
	h.Fatal("redirects do not end")
	return a
}

// decide answers the consent page and returns the parameters that the client
// gets at its redirect URI.
func (h *harness) decide(browser *http.Client, page answer, decision string) url.Values {
	h.Helper()
	form := fields(page)
	form.Set("decision", decision)
	a := h.post(browser, "/consent", form)
	location, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.Status != http.StatusSeeOther || !strings.HasPrefix(location.String(), callback) {
		h.Fatalf("consent: %d, Location %q", a.Status, a.Header.Get("Location"))
	}
	return location.Query()
}

// code signs a user in and returns an authorization code.
func (h *harness) code(query url.Values, email string) string {
	h.Helper()
	browser := h.newBrowser()
	code := h.decide(browser, h.signInAs(browser, query, email), "allow").Get("code")
	if code == "" {
		h.Fatal("no code")
	}
	return code
}

func redeemForm(client, code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
}

// tokens signs a user in and returns the token answer.
func (h *harness) tokens(client, email string) answer {
	h.Helper()
	a := h.post(h.newBrowser(), "/token", redeemForm(client, h.code(h.authorizeQuery(client), email)))
	if a.Status != http.StatusOK {
		h.Fatalf("token: %d %s", a.Status, a.Body)
	}
	return a
}

// introspect asks as the gateway does, for JSON.
func (h *harness) introspected(token string) map[string]any {
	h.Helper()
	return h.post(h.newBrowser(), "/introspect", url.Values{"token": {token}}, basic("gateway")...).JSON
}

// phantom returns the JWT behind a token.
func (h *harness) phantom(token string) string {
	h.Helper()
	a := h.post(h.newBrowser(), "/introspect", url.Values{"token": {token}}, append(basic("gateway"), "Accept", "application/jwt")...)
	if a.Header.Get("Content-Type") != "application/jwt" {
		h.Fatalf("introspect: %d %s", a.Status, a.Body)
	}
	return a.Body
}

func exchangeForm(jwt, resource string) url.Values {
	return url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {jwt}, "resource": {resource},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "scope": {"stocks/read"},
	}
}

// claimsOf decodes a JWT without checking it.
func claimsOf(t *testing.T, jwt string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", jwt)
	}
	for i, dst := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, dst); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// mailbox keeps what is mailed.
type mailbox struct {
	mu       sync.Mutex
	messages []login.Message
	down     error
}

func (m *mailbox) Ready(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.down
}

func (m *mailbox) Queue(msg login.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = append(m.messages, msg)
}

// passcode returns the newest passcode sent to an address, or "".
func (m *mailbox) passcode(to string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.messages) - 1; i >= 0; i-- {
		if m.messages[i].To == to {
			return m.messages[i].Passcode
		}
	}
	return ""
}

func (m *mailbox) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.messages)
}
