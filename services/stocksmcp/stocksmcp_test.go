package stocksmcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/config"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/logtest"
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
	Log    *logtest.Buffer

	Revoked *revocation.Watch // hears of nothing, unless a test says so

	Exchange  atomic.Value // string: answer of /token instead of a token, "status body"
	API       atomic.Value // string: answer of the API instead of stocks, "status body"
	Exchanges atomic.Int64
	APIDelay  chan struct{} // when set, the API waits for it to be closed
	Pages     atomic.Bool   // whether the list of stocks has a second page

	orders // the fakes of what an order needs

	subjects *token.Verifier // of the authorization server, for subject tokens

	mu       sync.Mutex
	events   []audit.Event
	outbound []string // all that the MCP server sent to others, headers and bodies
}

func newChain(t testing.TB) *chain {
	t.Helper()
	c := &chain{Issuer: tokentest.New(t, testSite.Issuer()), Log: new(logtest.Buffer)}
	c.Exchange.Store("")
	c.API.Store("")
	c.noOrders()
	c.subjects = token.NewVerifier(testSite.Issuer(), testSite.MCPResource(), c.Issuer.JWKSURL, http.DefaultClient)

	auth := http.NewServeMux()
	auth.Handle("GET /jwks", c.Issuer)
	auth.HandleFunc("POST /token", c.serveToken)
	auth.HandleFunc("POST /approvals", c.serveAsk)
	auth.HandleFunc("GET /approvals/{id}", c.serveApproval)
	authserver := httptest.NewServer(c.record(auth))
	t.Cleanup(authserver.Close)

	apiGuard := token.Guard{
		Verifier: token.NewVerifier(testSite.Issuer(), testSite.APIResource(), c.Issuer.JWKSURL, http.DefaultClient),
		Log:      slog.New(slog.DiscardHandler),
	}
	api := http.NewServeMux()
	api.Handle("GET /stocks", apiGuard.Protect(http.HandlerFunc(c.serveStocks)))
	api.Handle("GET /stocks/{symbol}", apiGuard.Protect(http.HandlerFunc(c.serveStock)))
	api.Handle("GET /stocks/{symbol}/history", apiGuard.Protect(http.HandlerFunc(c.serveHistory)))
	api.Handle("POST /orders", apiGuard.Protect(http.HandlerFunc(c.serveOrder)))
	stocksapi := httptest.NewServer(c.record(api))
	t.Cleanup(stocksapi.Close)

	log := slog.New(slog.NewJSONHandler(c.Log, nil))
	handler, follower := newServer(settings{
		Site: testSite, AuthserverURL: parseURL(t, authserver.URL), StocksapiURL: parseURL(t, stocksapi.URL),
		audit:    audit.RecorderFunc(c.recordEvent),
		patience: patience{Every: time.Millisecond, For: 20 * time.Millisecond},
	}, config.Secret(testSecret), log, func(*mcp.Server) {})
	c.Revoked = follower.Watch
	srv := httptest.NewServer(httpserver.Wrap(handler, log, true))
	t.Cleanup(srv.Close)
	c.URL = srv.URL + "/"
	return c
}

func parseURL(t testing.TB, raw string) url.URL {
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
	if status == "drop" {
		panic(http.ErrAbortHandler)
	}
	code, err := strconv.Atoi(status)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Location", "/elsewhere") // means something with 302 alone
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
	return true
}

// serveToken is the token exchange of the authorization server.
func (c *chain) serveToken(w http.ResponseWriter, r *http.Request) {
	n := c.Exchanges.Add(1)
	if override(w, &c.Exchange) {
		return
	}
	if !c.authenticated(w, r) {
		return
	}
	subject, err := c.subjects.Verify(r.Context(), r.PostFormValue("subject_token"))
	if err != nil || r.PostFormValue("grant_type") != oauth.GrantTokenExchange ||
		r.PostFormValue("subject_token_type") != oauth.TokenTypeAccessToken ||
		r.PostFormValue("requested_token_type") != oauth.TokenTypeAccessToken ||
		r.PostFormValue("resource") != testSite.APIResource() {
		refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	claims := map[string]any{
		"sub": subject.Subject, "region": subject.Region, "jti": fmt.Sprint("jti-", n), "act": map[string]any{"sub": "stocksmcp"},
		"exp": subject.ExpiresAt.Unix(), "grant_id": subject.GrantID, "scope": r.PostFormValue("scope"),
	}
	if id := r.PostFormValue("approval_id"); id != "" {
		details, code := c.take(id, subject.GrantID)
		if code != "" {
			refuse(w, http.StatusBadRequest, code)
			return
		}
		claims["authorization_details"] = []any{details}
	} else if r.PostFormValue("scope") != oauth.ScopeStocksRead { // of a client of type mcp
		refuse(w, http.StatusBadRequest, "invalid_scope")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token":      c.Issuer.Sign(c.Issuer.With(testSite.APIResource(), claims)),
		"issued_token_type": oauth.TokenTypeAccessToken, "token_type": "Bearer", "expires_in": 900, "scope": r.PostFormValue("scope"),
		"authorization_details": claims["authorization_details"],
	})
}

func (c *chain) recordEvent(ctx context.Context, e audit.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, audit.Complete(ctx, e, "stocksmcp", time.Now()))
}

// audited returns what was recorded, a line an event.
func (c *chain) audited() (lines []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		lines = append(lines, fmt.Sprintf("%s %s %s%s %s %s", e.Request, e.User, e.Detail["tool"], e.Detail["resource"], e.Decision, e.Reason))
	}
	return lines
}

// authenticated checks client_secret_basic, and answers when it fails.
func (c *chain) authenticated(w http.ResponseWriter, r *http.Request) bool {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id == "stocksmcp" && secret == testSecret {
		return true
	}
	refuse(w, http.StatusUnauthorized, "invalid_client")
	return false
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":"`+code+`","error_description":"upstream words"}`)
}

// serveStocks is the list of the stocks API: ALDP, named after the user, alone
// on the first page, and two more on the second.
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
	claims, q := token.ClaimsFrom(r.Context()), r.URL.Query()
	all := []map[string]any{quote("ALDP", claims.Subject), quote("BMSE", claims.Subject), quote("BRTW", claims.Subject)}
	page := map[string]any{"region": claims.Region, "stocks": all[:1]}
	switch {
	case q.Get("symbol") != "":
		asked := strings.Split(q.Get("symbol"), ",")
		page["stocks"] = slices.DeleteFunc(all, func(s map[string]any) bool { return !slices.Contains(asked, s["symbol"].(string)) })
	case q.Get("cursor") == "page-2":
		page["stocks"] = all[1:]
	case c.Pages.Load():
		page["next_cursor"] = "page-2"
	}
	_ = json.NewEncoder(w).Encode(page)
}

func quote(symbol, user string) map[string]any {
	return map[string]any{
		"symbol": symbol, "name": "Of | " + user, "region": "ignored", "delayed": false,
		"currency": "USD", "price": "362.77", "change_percent": "-1.67", "as_of": "2026-07-28T20:00:00Z",
	}
}

// serveStock is one stock of the stocks API.
func (c *chain) serveStock(w http.ResponseWriter, r *http.Request) {
	if override(w, &c.API) {
		return
	}
	if symbol := r.PathValue("symbol"); symbol != "ALDP" {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"title":"Not found","detail":"upstream words"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(quote("ALDP", token.ClaimsFrom(r.Context()).Subject))
}

// serveHistory is the history of the stocks API: a close for each day.
func (c *chain) serveHistory(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, err := time.Parse(time.DateOnly, q.Get("from"))
	to, err2 := time.Parse(time.DateOnly, q.Get("to"))
	if err != nil || err2 != nil || from.After(to) || q.Get("interval") != "day" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	closes := []map[string]string{}
	for d := from; !d.After(to); d = d.AddDate(0, 0, 1) {
		closes = append(closes, map[string]string{"date": d.Format(time.DateOnly), "close": "1.50"})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"symbol": r.PathValue("symbol"), "currency": "USD", "interval": "day", "closes": closes})
}

// token returns one for the MCP server with some claims replaced.
func (c *chain) token(changes map[string]any) string {
	return c.Issuer.Sign(c.Issuer.With(testSite.MCPResource(), changes))
}

// connect returns a session of the SDK's client that sends bearer.
func (c *chain) connect(t *testing.T, bearer, version string) *mcp.ClientSession {
	t.Helper()
	return c.connectWith(t, bearer, version, nil)
}

// connectWith is connect with options of the client.
func (c *chain) connectWith(t *testing.T, bearer, version string, options *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, options)
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

// callTool calls fetch-stock-prices and returns the result and its text.
func callTool(t *testing.T, session *mcp.ClientSession) (*mcp.CallToolResult, string) {
	t.Helper()
	return call(t, session, "fetch-stock-prices", nil)
}

// call calls a tool and returns the result and its text.
func call(t *testing.T, session *mcp.ClientSession, tool string, arguments any) (*mcp.CallToolResult, string) {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatal(err)
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || len(result.Content) != 1 {
		t.Fatalf("content %+v", result.Content)
	}
	return result, text.Text
}
