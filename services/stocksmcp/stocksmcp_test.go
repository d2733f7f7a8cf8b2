package stocksmcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/services/internal/config"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/revocation"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
	"demo.example/services/internal/token/tokentest"
)

var testSite = site.Site{Domain: "demo.localhost", HTTPSPort: 8443}

const testSecret = "a secret: with %, + and / in it, long enough"

// chain is the real MCP server between an authorization server and a stocks
// API that stand in for the real ones: they check what they are sent, and
// fail on demand.
type chain struct {
	URL    string // of the MCP endpoint
	Issuer *tokentest.Issuer
	Log    *syncBuffer

	Revoked *revocation.Watch // hears of nothing, unless a test says so

	Exchange  atomic.Value // string: answer of /token instead of a token, "status body"
	API       atomic.Value // string: answer of the API instead of stocks, "status body"
	Exchanges atomic.Int64
	APIDelay  chan struct{} // when set, the API waits for it to be closed

	mu       sync.Mutex
	outbound []string // all that the MCP server sent to others, headers and bodies
}

func newChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{Issuer: tokentest.New(t, testSite.Issuer()), Log: new(syncBuffer)}
	c.Exchange.Store("")
	c.API.Store("")

	auth := http.NewServeMux()
	auth.Handle("GET /jwks", c.Issuer)
	auth.HandleFunc("POST /token", c.serveToken)
	authserver := httptest.NewServer(c.record(auth))
	t.Cleanup(authserver.Close)

	apiGuard := token.Guard{
		Verifier: token.NewVerifier(testSite.Issuer(), testSite.APIResource(), c.Issuer.JWKSURL, http.DefaultClient),
		Log:      slog.New(slog.DiscardHandler),
	}
	api := http.NewServeMux()
	api.Handle("GET /stocks", apiGuard.Protect(http.HandlerFunc(c.serveStocks)))
	stocksapi := httptest.NewServer(c.record(api))
	t.Cleanup(stocksapi.Close)

	log := slog.New(slog.NewJSONHandler(c.Log, nil))
	handler, follower := newServer(settings{
		Site: testSite, AuthserverURL: parseURL(t, authserver.URL), StocksapiURL: parseURL(t, stocksapi.URL), ClientID: "stocks mcp",
	}, config.Secret(testSecret), log, func(*mcp.Server) {})
	c.Revoked = follower.Watch
	srv := httptest.NewServer(httpserver.Wrap(handler, log, true))
	t.Cleanup(srv.Close)
	c.URL = srv.URL + "/"
	return c
}

func parseURL(t *testing.T, raw string) url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return *u
}

// record keeps what the MCP server sends.
func (c *chain) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var headers bytes.Buffer
		_ = r.Header.Write(&headers)
		c.mu.Lock()
		c.outbound = append(c.outbound, r.Method+" "+r.URL.Path+"\n"+headers.String()+"\n"+string(body))
		c.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// sent returns the recorded requests that begin with prefix.
func (c *chain) sent(prefix string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for _, s := range c.outbound {
		if strings.HasPrefix(s, prefix) {
			found = append(found, s)
		}
	}
	return found
}

// override writes an answer given as "status body", if there is one.
func override(w http.ResponseWriter, v *atomic.Value) bool {
	status, body, ok := strings.Cut(v.Load().(string), " ")
	if !ok {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	switch status {
	case "400":
		w.WriteHeader(400)
	case "401":
		w.WriteHeader(401)
	case "403":
		w.WriteHeader(403)
	case "302":
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(302)
	case "503":
		w.WriteHeader(503)
	case "drop":
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, body)
	return true
}

// serveToken is the token exchange of the authorization server.
func (c *chain) serveToken(w http.ResponseWriter, r *http.Request) {
	n := c.Exchanges.Add(1)
	if override(w, &c.Exchange) {
		return
	}
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != "stocks mcp" || secret != testSecret {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
		return
	}
	verifier := token.NewVerifier(testSite.Issuer(), testSite.MCPResource(), c.Issuer.JWKSURL, http.DefaultClient)
	subject, err := verifier.Verify(r.Context(), r.PostFormValue("subject_token"))
	if err != nil || r.PostFormValue("grant_type") != oauth.GrantTokenExchange ||
		r.PostFormValue("subject_token_type") != oauth.TokenTypeAccessToken ||
		r.PostFormValue("requested_token_type") != oauth.TokenTypeAccessToken ||
		r.PostFormValue("resource") != testSite.APIResource() || r.PostFormValue("scope") != oauth.ScopeStocksRead {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_request"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": c.Issuer.Sign(c.Issuer.With(testSite.APIResource(), map[string]any{
			"sub": subject.Subject, "region": subject.Region, "jti": fmt.Sprint("jti-", n), "act": map[string]any{"sub": "stocksmcp"},
			"exp": subject.ExpiresAt.Unix(), "grant_id": "grant-1",
		})),
		"issued_token_type": oauth.TokenTypeAccessToken, "token_type": "Bearer", "expires_in": 900, "scope": "stocks/read",
	})
}

// serveStocks is the stocks API: one stock, named after the user.
func (c *chain) serveStocks(w http.ResponseWriter, r *http.Request) {
	if c.APIDelay != nil {
		select {
		case <-c.APIDelay:
		case <-r.Context().Done():
			return
		}
	}
	if override(w, &c.API) {
		return
	}
	claims := token.ClaimsFrom(r.Context())
	_ = json.NewEncoder(w).Encode(map[string]any{"region": claims.Region, "stocks": []map[string]any{{
		"symbol": "ALDP", "name": "Of | " + claims.Subject, "region": claims.Region,
		"currency": "USD", "price": "362.77", "change_percent": "-1.67", "as_of": "2026-07-28T20:00:00Z",
	}}})
}

// token returns one for the MCP server with some claims replaced.
func (c *chain) token(changes map[string]any) string {
	return c.Issuer.Sign(c.Issuer.With(testSite.MCPResource(), changes))
}

// connect returns a session of the SDK's client that sends bearer.
func (c *chain) connect(t *testing.T, bearer, version string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: c.URL, HTTPClient: &http.Client{Transport: withBearer(bearer)}, MaxRetries: -1,
	}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

type withBearer string

func (b withBearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	r.Header.Set(httpserver.RequestIDHeader, "request-1")
	return http.DefaultTransport.RoundTrip(r)
}

// callTool calls the tool and returns its text and whether that is an error.
func callTool(t *testing.T, session *mcp.ClientSession) (*mcp.CallToolResult, string) {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "fetch-stock-prices"})
	if err != nil {
		t.Fatal(err)
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || len(result.Content) != 1 {
		t.Fatalf("content %+v", result.Content)
	}
	return result, text.Text
}

// syncBuffer is a log that a server writes and a test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
