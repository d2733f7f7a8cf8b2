package stocksapi

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/labstack/echo/v4"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
	"demo.example/services/internal/token/tokentest"
	"demo.example/services/stocksapi/store/sqlite"
)

var testSite = site.Site{Domain: "demo.localhost", HTTPSPort: 8443}

// testTime is when tests happen, a Wednesday.
var testTime = time.Date(2026, 7, 29, 14, 30, 20, 0, time.UTC)

// testAPI is the real handler in front of a real issuer's keys and a real
// store. Every answer is held to openapi.json.
type testAPI struct {
	http.Handler
	Routes *echo.Echo
	Issuer *tokentest.Issuer
	Orders *sqlite.DB
	Log    *bytes.Buffer
	Events []audit.Event
	Now    time.Time // the time of prices and policy; tokens are judged by the real one

	mu          sync.Mutex
	t           *testing.T
	description *description
}

func newTestAPI(t *testing.T) *testAPI {
	t.Helper()
	return newTestAPIWith(t, filepath.Join(t.TempDir(), "orders.db"))
}

// newTestAPIWith returns an API with the orders of a file.
func newTestAPIWith(t *testing.T, file string) *testAPI {
	t.Helper()
	stocks, err := loadCatalog()
	if err != nil {
		t.Fatal(err)
	}
	orders, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = orders.Close() })
	a := &testAPI{Issuer: tokentest.New(t, testSite.Issuer()), Orders: orders, Log: new(bytes.Buffer), Now: testTime, t: t, description: loadDescription(t)}
	log := slog.New(slog.NewJSONHandler(a.Log, nil))
	verifier := token.NewVerifier(testSite.Issuer(), testSite.APIResource(), a.Issuer.JWKSURL, http.DefaultClient)
	a.Routes = routes(parts{
		Site: testSite, Verifier: verifier, Catalog: stocks, Orders: orders, Now: func() time.Time { return a.Now }, Log: log,
		Audit: audit.RecorderFunc(func(ctx context.Context, e audit.Event) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.Events = append(a.Events, audit.Complete(ctx, e, "stocksapi", a.Now))
		}),
	})
	a.Handler = httpserver.Wrap(a.Routes, log, true)
	return a
}

// token returns one for this API with some claims replaced.
func (a *testAPI) token(changes map[string]any) string {
	return a.Issuer.Sign(a.Issuer.With(testSite.APIResource(), changes))
}

// do sends a request with a body that asks for another region.
func (a *testAPI) do(method, target, bearer string) *httptest.ResponseRecorder {
	return a.send(method, target, bearer, `{"region":"Europe"}`, nil)
}

// send sends a JSON body. Some headers may be replaced.
func (a *testAPI) send(method, target, bearer, body string, headers http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set(httpserver.RequestIDHeader, "request-1")
	r.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for name, values := range headers {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	a.description.checkAnswer(a.t, r, w)
	return w
}

// decisions returns the lines of the log that say what the policy decided.
func (a *testAPI) decisions() (all []map[string]any) {
	for line := range strings.Lines(a.Log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			a.t.Fatal(err)
		}
		if entry["msg"] == "authorization" {
			all = append(all, entry)
		}
	}
	return all
}

func TestListStocks(t *testing.T) {
	a := newTestAPI(t)
	symbols := map[string]string{} // symbol to region
	for _, region := range []string{"USA", "Europe", "Asia"} {
		for _, clientType := range []string{"mcp", "web"} {
			w := a.do(http.MethodGet, "/stocks", a.token(map[string]any{"region": region, "client_type": clientType}))
			if w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", region, w.Code, w.Body)
			}
			if got := w.Header().Get("Cache-Control"); got != "private, no-store" {
				t.Errorf("Cache-Control %q", got)
			}
			var list stockList
			if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
				t.Fatal(err)
			}
			if list.Region != Region(region) || len(list.Stocks) < 20 {
				t.Errorf("region %q with %d stocks, want %q with 20 or more", list.Region, len(list.Stocks), region)
			}
			for _, s := range list.Stocks {
				if s.Region != Region(region) {
					t.Errorf("%s of region %s among those of %s", s.Symbol, s.Region, region)
				}
				if in, ok := symbols[s.Symbol]; ok && in != region {
					t.Errorf("%s is in %s and %s", s.Symbol, in, region)
				}
				symbols[s.Symbol] = region
			}
		}
	}
}

func TestGetStock(t *testing.T) {
	a := newTestAPI(t)
	american := a.token(nil)
	w := a.do(http.MethodGet, "/stocks/ALDP", american)
	var got Stock
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := Stock{
		Symbol: "ALDP", Name: "Alderpoint Systems", Region: USA, Currency: "USD", Price: "341.43", ChangePercent: "-0.16",
		AsOf: time.Date(2026, 7, 29, 14, 15, 0, 0, time.UTC), Delayed: true, // it is an AI agent's, of level 1
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Stock{})); diff != "" {
		t.Error(diff)
	}
	// One of another region must look like one that there is not.
	elsewhere, nowhere := a.do(http.MethodGet, "/stocks/ALMB", american), a.do(http.MethodGet, "/stocks/NOPE", american)
	if elsewhere.Code != http.StatusNotFound || elsewhere.Body.String() != nowhere.Body.String() {
		t.Errorf("another region's stock: %d %s; no stock: %s", elsewhere.Code, elsewhere.Body, nowhere.Body)
	}
	if w := a.do(http.MethodGet, "/stocks/ALMB", a.token(map[string]any{"region": "Europe"})); w.Code != http.StatusOK {
		t.Errorf("in its own region: %d", w.Code)
	}
}

// TestPolicy: attack X14.
func TestPolicy(t *testing.T) {
	a := newTestAPI(t)
	const metadata = `resource_metadata="https://api.demo.localhost:8443/.well-known/oauth-protected-resource"`
	tests := map[string]struct {
		changes   map[string]any
		status    int
		challenge string
	}{
		"as issued":                 {nil, 200, ""},
		"level 3":                   {map[string]any{"client_assurance_level": 3}, 200, ""},
		"more scopes":               {map[string]any{"scope": "openid stocks/read"}, 200, ""},
		"another scope":             {map[string]any{"scope": "stocks/readers"}, 403, `Bearer error="insufficient_scope", scope="stocks/read", ` + metadata},
		"no scope":                  {map[string]any{"scope": nil}, 403, `Bearer error="insufficient_scope", scope="stocks/read", ` + metadata},
		"region missing":            {map[string]any{"region": nil}, 403, ""},
		"region null":               {map[string]any{"region": json.RawMessage("null")}, 403, ""},
		"region an array":           {map[string]any{"region": []string{"USA"}}, 403, ""},
		"region a number":           {map[string]any{"region": 1}, 403, ""},
		"region in lower case":      {map[string]any{"region": "usa"}, 403, ""},
		"region with a space":       {map[string]any{"region": "USA "}, 403, ""},
		"region unknown":            {map[string]any{"region": "Mars"}, 403, ""},
		"client_type missing":       {map[string]any{"client_type": nil}, 403, ""},
		"client_type null":          {map[string]any{"client_type": json.RawMessage("null")}, 403, ""},
		"client_type an array":      {map[string]any{"client_type": []string{"web"}}, 403, ""},
		"client_type in upper case": {map[string]any{"client_type": "MCP"}, 403, ""},
		"client_type unknown":       {map[string]any{"client_type": "admin"}, 403, ""},
		"level missing":             {map[string]any{"client_assurance_level": nil}, 403, ""},
		"level null":                {map[string]any{"client_assurance_level": json.RawMessage("null")}, 403, ""},
		"level a string":            {map[string]any{"client_assurance_level": "3"}, 403, ""},
		"level an array":            {map[string]any{"client_assurance_level": []int{3}}, 403, ""},
		"level 0":                   {map[string]any{"client_assurance_level": 0}, 403, ""},
		"level 4":                   {map[string]any{"client_assurance_level": 4}, 403, ""},
		"level -1":                  {map[string]any{"client_assurance_level": -1}, 403, ""},
		"level 1.5":                 {map[string]any{"client_assurance_level": 1.5}, 403, ""},
		// Spelled otherwise, it is no token of our issuer at all.
		"case variant of a name": {map[string]any{"region": nil, "Region": "USA"}, 401, `Bearer error="invalid_token", scope="stocks/read", ` + metadata},
	}
	for name, tt := range tests {
		for _, target := range []string{"/stocks", "/stocks/ALDP", "/stocks/ALDP/history"} {
			w := a.do(http.MethodGet, target, a.token(tt.changes))
			if w.Code != tt.status || w.Header().Get("WWW-Authenticate") != tt.challenge {
				t.Errorf("%s, %s: %d %q", name, target, w.Code, w.Header().Get("WWW-Authenticate"))
			}
			if tt.status != http.StatusOK && (w.Header().Get("Content-Type") != "application/problem+json" || strings.Contains(w.Body.String(), "ALDP")) {
				t.Errorf("%s, %s: %s", name, target, w.Body)
			}
		}
	}
}

func TestDecisionsAreLogged(t *testing.T) {
	a := newTestAPI(t)
	raw := a.token(map[string]any{"client_type": "robot", "grant_id": "grant-1", "act": map[string]any{"sub": "stocksmcp", "act": map[string]any{"sub": "agent"}}})
	a.do(http.MethodGet, "/stocks", raw)
	got := a.decisions()
	if len(got) != 1 {
		t.Fatalf("%d decisions: %s", len(got), a.Log)
	}
	delete(got[0], "time")
	want := map[string]any{
		"level": "INFO", "msg": "authorization", "request_id": "request-1", "operation": "read stocks", "decision": "deny",
		"reason": "client_type is missing or unknown",
		"sub":    "user-1", "client_id": "client-1", "grant_id": "grant-1", "actors": []any{"stocksmcp", "agent"},
		"region": "USA", "client_type": "robot", "client_assurance_level": 1.0,
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(a.Log.String(), raw) {
		t.Error("the token is in the log")
	}
	if len(a.Events) != 1 {
		t.Fatalf("recorded: %+v", a.Events)
	}
	wantEvent := audit.Event{
		ID: a.Events[0].ID, Time: a.Now, Service: "stocksapi", Kind: audit.APIDecision, Decision: audit.Refused, Reason: "client_type is missing or unknown",
		Request: "request-1", Grant: "grant-1", Token: a.Events[0].Token, User: "user-1", Client: "client-1", Actors: []string{"stocksmcp", "agent"},
		Audience: testSite.APIResource(), Scope: "stocks/read", Detail: map[string]string{"operation": "read stocks", "path": "/stocks"},
	}
	if diff := cmp.Diff(wantEvent, a.Events[0]); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// TestRequestCannotChooseTheRegion (attack X14): the body that do
// sends asks for Europe.
func TestRequestCannotChooseTheRegion(t *testing.T) {
	a := newTestAPI(t)
	raw := a.token(nil)
	if w := a.do(http.MethodGet, "/stocks", raw); !strings.HasPrefix(w.Body.String(), `{"region":"USA"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, target := range []string{"/stocks?region=Europe", "/stocks?REGION=Europe", "/stocks/ALMB?region=Europe", "/stocks/ALDP/history?region=Europe", "/stocks?x", "/stocks?access_token=" + raw} {
		if w := a.do(http.MethodGet, target, raw); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	if w := a.do(http.MethodGet, "/stocks?access_token="+raw, ""); w.Code != http.StatusUnauthorized {
		t.Errorf("token in the query: %d", w.Code)
	}
	if strings.Contains(a.Log.String(), raw) {
		t.Error("the token is in the log")
	}
}

func TestOtherRequests(t *testing.T) {
	a := newTestAPI(t)
	raw := a.token(nil)
	tests := map[string]struct {
		method, target, bearer string
		status                 int
		header, value          string
	}{
		"health":               {http.MethodGet, "/healthz", "", 200, "Content-Type", "application/json"},
		"no token":             {http.MethodGet, "/stocks", "", 401, "WWW-Authenticate", `Bearer scope="stocks/read", resource_metadata="https://api.demo.localhost:8443/.well-known/oauth-protected-resource"`},
		"token for MCP":        {http.MethodGet, "/stocks", a.Issuer.Sign(a.Issuer.Claims(testSite.MCPResource())), 401, "Content-Type", "application/problem+json"},
		"POST":                 {http.MethodPost, "/stocks", raw, 405, "Allow", "GET"},
		"PUT orders":           {http.MethodPut, "/orders", raw, 405, "Allow", "GET, POST"},
		"DELETE an order":      {http.MethodDelete, "/orders/1", raw, 405, "Allow", "GET"},
		"POST the description": {http.MethodPost, "/openapi.json", "", 405, "Allow", "GET"},
		"DELETE one":           {http.MethodDelete, "/stocks/ALDP", raw, 405, "Allow", "GET"},
		"TRACE":                {http.MethodTrace, "/stocks", raw, 405, "Allow", "GET"},
		"unknown path":         {http.MethodGet, "/trades", raw, 404, "Content-Type", "application/problem+json"},
		"escaped slash":        {http.MethodGet, "/stocks/..%2fhealthz", raw, 404, "Content-Type", "application/problem+json"},
		"symbol in lower case": {http.MethodGet, "/stocks/aldp", raw, 404, "Content-Type", "application/problem+json"},
	}
	for name, tt := range tests {
		w := a.do(tt.method, tt.target, tt.bearer)
		if w.Code != tt.status || w.Header().Get(tt.header) != tt.value {
			t.Errorf("%s: %d, %s: %q, %s", name, w.Code, tt.header, w.Header().Get(tt.header), w.Body)
		}
	}
	a = newTestAPI(t)
	a.Issuer.Down.Store(true)
	w := a.do(http.MethodGet, "/stocks", a.token(nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("keys out of reach: %d %v", w.Code, w.Header())
	}
}

func TestCatalog(t *testing.T) {
	stocks, err := loadCatalog()
	if err != nil {
		t.Fatal(err)
	}
	for region, list := range stocks {
		for i, s := range list {
			if s.Symbol == "" || s.Name == "" || len(s.Currency) != 3 || s.Region != region || s.ReferencePrice < 100 || s.Digits > token.MaxPriceDecimals {
				t.Errorf("incomplete: %+v", s)
			}
			if i > 0 && list[i-1].Symbol >= s.Symbol {
				t.Errorf("%s is not in order", s.Symbol)
			}
		}
	}
}
