package authserver

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/store/sqlite"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/token"
)

// few is the number of live tokens that many, from the environment, are
// compared with.
const few = 1000

// TestBench is `make bench`: what requests cost the processor, on one core,
// over loopback, in durable state, beside what any answer and any signature
// cost in the same run. BENCH is how many live tokens the second server has.
//
// It prints and does not judge: another machine, or this one while it does
// something else, has other numbers. What the rows make of one another is
// comparable. See docs/decisions/0008-sqlite.md.
func TestBench(t *testing.T) {
	many, err := strconv.Atoi(os.Getenv("BENCH"))
	if err != nil {
		t.Skip("BENCH is not set: make bench")
	}
	runtime.GOMAXPROCS(1)
	small, large := newHarness(t), newHarness(t)
	small.fill(0, few)
	start, spent := time.Now(), processorTime()
	large.fill(0, many)
	t.Logf("%d tokens stored in %.1f s, %.0f µs CPU each", many, time.Since(start).Seconds(), micros(processorTime()-spent)/float64(many))
	t.Logf("restart with them, first introspection answered: %.3f s", large.restartBench(many).Seconds())

	jwt := small.phantom(small.tokens(small.agent(), john).JSON["access_token"].(string))
	exchange := exchangeForm(jwt, small.cfg.APIResource())
	gateway, phantom := basic("gateway"), append(basic("gateway"), "Accept", "application/jwt")
	s, l := small.listenBench(), large.listenBench()
	sign := benchRow{name: "sign alone (ES256)", sign: small.server}
	table := []*benchRow{
		&sign,
		{name: "bare answer", addr: s, next: always("/bare", exchange, basic("stocksmcp"))},
		{name: "client_credentials", addr: s, next: always("/token", ownForm(), basic("stocks-report"))},
		{name: "token exchange", addr: s, next: always("/token", exchange, basic("stocksmcp"))},
		{name: "token exchange, JWT not kept", addr: small.anew().listenBench(), next: always("/token", exchange, basic("stocksmcp"))},
		{name: "client_credentials, many", addr: l, next: always("/token", ownForm(), basic("stocks-report"))},
		{name: "introspection", addr: s, next: anyToken(few, gateway)},
		{name: "introspection, many", addr: l, next: anyToken(many, gateway)},
		{name: "phantom token", addr: s, next: anyToken(few, phantom)},
		{name: "phantom token, many", addr: l, next: anyToken(many, phantom)},
	}
	measure(t, table)
	t.Logf("with %d live tokens, one core, %d connections:\n%s", many, benchConns, draw(table))
	t.Logf("introspection with many: %.2f of the rate with %d", table[7].rateOf(table[6]), few)
	t.Logf("resident, both servers and the load with them: %d MB", resident(t)>>20)
}

// benchSecret is the nth token, so that a million need not be kept to ask for
// them. It is as long as a real one.
func benchSecret(n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "bench %d", n))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// fill stores the tokens from one number up to another, each with a grant of
// its own, as many callers at once do.
func (h *harness) fill(from, to int) {
	h.Helper()
	g, ctx := errgroup.WithContext(h.Context())
	g.SetLimit(200)
	now := time.Now()
	expires := now.Add(24 * time.Hour)
	for n := from; n < to; n++ {
		g.Go(func() error {
			grant := store.Grant{
				ID: fmt.Sprintf("BENCH%021d", n*7919%to), ClientID: "stocks-report", Resource: h.cfg.APIResource(), Scope: "stocks/read",
				CreatedAt: now, ExpiresAt: expires,
			}
			return h.db.AddClientGrant(ctx, grant, store.Token{
				Hash: store.HashOf(benchSecret(n)), ID: "T" + grant.ID, Kind: store.AccessToken, GrantID: grant.ID,
				Scope: grant.Scope, IssuedAt: now, ExpiresAt: expires,
			})
		})
	}
	if err := g.Wait(); err != nil {
		h.Fatal(err)
	}
}

// restartBench opens the database anew, as a new process does, and returns how long
// it took until a token was introspected.
func (h *harness) restartBench(many int) time.Duration {
	h.Helper()
	if err := h.db.Close(); err != nil {
		h.Fatal(err)
	}
	debug.FreeOSMemory() // what filling left behind is not the server's
	start := time.Now()
	db, err := sqlite.Open(h.Context(), h.cfg.DatabaseFile)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = db.Close() })
	if h.server, err = newServer(h.Context(), h.cfg, db, h.mail, h.time, slog.New(slog.DiscardHandler)); err != nil {
		h.Fatal(err)
	}
	c, err := dialBench(h.listenBench())
	if err != nil {
		h.Fatal(err)
	}
	defer c.Close()
	if err := c.do(anyToken(many, basic("gateway"))()()); err != nil {
		h.Fatal(err)
	}
	return time.Since(start)
}

// listenBench serves as Run does, and at /bare an answer that costs nothing
// but the stack.
func (h *harness) listenBench() string {
	h.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.Fatal(err)
	}
	handler := h.routes()
	handler.(*echo.Echo).POST("/bare", func(c echo.Context) error {
		return c.JSON(http.StatusOK, grants.Tokens{AccessToken: benchSecret(0), TokenType: "Bearer", ExpiresIn: 900, Scope: "stocks/read"})
	}, noStore, form)
	log := slog.New(slog.NewJSONHandler(devNull{}, nil)) // written out, and nowhere
	srv := httpserver.New(httpserver.Wrap(handler, log, true), log)
	go func() { _ = srv.Serve(l) }() // it ends with Close
	h.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

type devNull struct{}

func (devNull) Write(p []byte) (int, error) { return len(p), nil }

// anew returns another server of the same state, which keeps no JWT yet.
func (h *harness) anew() *harness {
	h.Helper()
	cfg := h.cfg
	cfg.AuditFile = filepath.Join(h.TempDir(), "audit.db") // a trail has one writer
	s, err := newServer(h.Context(), cfg, h.db, h.mail, h.time, slog.New(slog.DiscardHandler))
	if err != nil {
		h.Fatal(err)
	}
	return &harness{TB: h.TB, server: s}
}

// signBench signs what an access token says.
func (s *server) signBench() error {
	var claims token.Claims
	claims.Issuer, claims.Subject, claims.Scope, claims.ClientID = s.cfg.Issuer(), "client:stocks-report", "stocks/read", "stocks-report"
	_, err := s.keys.Sign(token.Type, claims)
	return err
}

// always sends one request over and over.
func always(path string, form url.Values, header []string) func() func() []byte {
	raw := rawRequest(path, form, header)
	return func() func() []byte { return func() []byte { return raw } }
}

// anyToken introspects one token after another, at random. Each connection has
// a request of its own, in which it changes the token.
func anyToken(count int, header []string) func() func() []byte {
	return func() func() []byte {
		raw := rawRequest("/introspect", url.Values{"token": {benchSecret(0)}}, header)
		place := raw[len(raw)-len(benchSecret(0)):]
		return func() []byte {
			copy(place, benchSecret(rand.IntN(count)))
			return raw
		}
	}
}

func rawRequest(path string, form url.Values, header []string) []byte {
	var b strings.Builder
	body := form.Encode()
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: login.demo.localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", path, len(body))
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	return []byte(b.String() + "\r\n" + body)
}

func draw(table []*benchRow) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tCPU µs\t× bare\t× bare+sign\tallocs\tkB\tp50 ms\tp99 ms\t")
	sign, bare := table[0].cpu, table[1].cpu
	for _, r := range table {
		fmt.Fprintf(w, "%s\t%.1f\t%.2f\t%.2f\t%.0f\t%.1f\t%.2f\t%.2f\t\n", r.name, r.cpu, r.cpu/bare, r.cpu/(bare+sign), r.allocs, r.kB, r.p50, r.p99)
	}
	w.Flush()
	return b.String()
}
