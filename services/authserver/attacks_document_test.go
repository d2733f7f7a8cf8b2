package authserver

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"demo.example/services/authserver/clients"
)

var discard = log.New(io.Discard, "", 0) // broken handshakes are what these tests are about

// TestDocumentAddresses: attacks D9 and D10 as far as they show outside. (The
// addresses themselves are in package clients.)
func TestDocumentAddresses(t *testing.T) {
	h := newHarness(t)
	victim, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan struct{}, 100)
	go func() {
		defer close(came)
		for {
			conn, err := victim.Accept()
			if err != nil {
				return
			}
			conn.Close()
			came <- struct{}{}
		}
	}()
	_, port, err := net.SplitHostPort(victim.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, host := range []string{
		"127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port, "2130706433:" + port, "0x7f.1:" + port,
		"client.demo.localhost:8443", // this deployment's own, which is only reached where the configuration says so
		"169.254.169.254", "10.0.0.1", "100.64.0.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fec0::1]", "198.18.0.1", "240.0.0.1",
	} {
		a := h.authorizeAs("https://" + host + "/client.json")
		if !isLocal(a) {
			t.Errorf("D9 %s: %d %s", host, a.Status, a.Body)
		}
		bodies = append(bodies, a.Body)
	}
	if len(slices.Compact(bodies)) != 1 {
		t.Error("D9 the answers differ")
	}
	for _, id := range []string{"http://client.example/x", "https://u@client.example/x", "https://client.example", "https://client.example/", "https://client.example/a/../b", "https://client.example/x#y", "ftp://client.example/x"} {
		if a := h.authorizeAs(id); !isLocal(a) {
			t.Errorf("client id %s: %d", id, a.Status)
		}
	}
	victim.Close()
	for range came {
		t.Error("D9 somebody connected")
	}
}

// TestBadDocuments: attacks D11 and D13. Each is refused on a page of this
// server, and none is remembered.
func TestBadDocuments(t *testing.T) {
	h, host := newClientHost(t)
	id := h.cfg.ClientDocument()
	good := fmt.Sprintf(`{"client_id":%q,"client_name":"X","redirect_uris":[%q]`, id, callback)
	send := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	redirect := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				t.Error("D11 the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", status)
		}
	}
	doc := func(body string) http.HandlerFunc { return send(http.StatusOK, "application/json", body) }
	for name, handler := range map[string]http.HandlerFunc{
		"D11 301":                     redirect(301),
		"D11 302":                     redirect(302),
		"D11 303":                     redirect(303),
		"D11 307":                     redirect(307),
		"D11 308":                     redirect(308),
		"D13 other client_id":         doc(strings.Replace(good, "oauth-client", "other", 1) + "}"),
		"D13 client_id in other case": doc(strings.Replace(good, "client.demo", "CLIENT.demo", 1) + "}"),
		"D13 no client_id":            doc(`{"client_name":"X","redirect_uris":["` + callback + `"]}`),
		"D13 no name":                 doc(strings.Replace(good, `"client_name":"X",`, "", 1) + "}"),
		"D13 no redirect URIs":        doc(fmt.Sprintf(`{"client_id":%q,"client_name":"X"}`, id)),
		"D13 bad redirect URI":        doc(fmt.Sprintf(`{"client_id":%q,"client_name":"X","redirect_uris":["javascript:alert(1)"]}`, id)),
		"D13 text/html":               send(http.StatusOK, "text/html", good+"}"),
		"D13 no content type":         send(http.StatusOK, "", good+"}"),
		"D13 204":                     send(http.StatusNoContent, "application/json", ""),
		"D13 206":                     send(http.StatusPartialContent, "application/json", good+"}"),
		"D13 404":                     send(http.StatusNotFound, "application/json", good+"}"),
		"D13 500":                     send(http.StatusInternalServerError, "application/json", good+"}"),
		"D13 trailing data":           doc(good + "} {}"),
		"D13 cut off":                 doc(good),
		"D13 duplicate key":           doc(good + `,"redirect_uris":["https://evil.example/cb"]}`),
		"D13 duplicate, other case":   doc(good + `,"Redirect_URIs":["https://evil.example/cb"]}`),
		"D13 client_secret":           doc(good + `,"client_secret":"s"}`),
		"D13 secret's expiry":         doc(good + `,"client_secret_expires_at":0}`),
		"D13 shared-secret method":    doc(good + `,"token_endpoint_auth_method":"client_secret_basic"}`),
		"D13 an array":                doc("[" + good + "}]"),
		"D13 empty":                   doc(""),
	} {
		host.answer(handler)
		if a := h.authorizeAs(id); !isLocal(a) || strings.Contains(a.Body, "evil") {
			t.Errorf("%s: %d, Location %q", name, a.Status, a.Header.Get("Location"))
		}
		host.serve(h.document(), "no-store")
		if a := h.authorizeAs(id); a.Status != http.StatusSeeOther {
			t.Errorf("%s: the failure was remembered: %d", name, a.Status)
		}
		h.wait(time.Minute) // of another minute's failures
	}
}

// TestSlowAndLargeDocuments: attack D12. Whatever the host does, it is over
// after five seconds and leaves nothing behind.
func TestSlowAndLargeDocuments(t *testing.T) {
	drip := func(w io.Writer, piece string, done <-chan struct{}) {
		for {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	if _, err := zip.Write(bytes.Repeat([]byte(" "), 10<<20)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	h, host := newClientHost(t)
	host.answer(func(w http.ResponseWriter, r *http.Request) {
		done := r.Context().Done()
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write(bytes.Repeat([]byte(" "), 6<<10))
		case "/endless":
			for range 10_000 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
			t.Error("D12 an endless body was read for 640 MB")
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		case "/slow-body":
			drip(w, " ", done)
		case "/slow-headers", "/endless-headers":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			if r.URL.Path == "/endless-headers" {
				for range 1 << 16 {
					if _, err := io.WriteString(conn, "X-Filler: "+strings.Repeat("x", 100)+"\r\n"); err != nil {
						return
					}
				}
				t.Error("D12 endless headers were read for 7 MB")
			}
			drip(conn, "X: y\r\n", h.Context().Done())
		case "/no-answer":
			<-done
		}
	})
	h.authorizeAs(documentAt("/large")) // so that what stays is there before it is counted
	before := runtime.NumGoroutine()
	start := time.Now()
	var wg sync.WaitGroup
	for _, path := range []string{"/large", "/endless", "/bomb", "/slow-body", "/slow-headers", "/endless-headers", "/no-answer"} {
		wg.Go(func() {
			if a := h.authorizeAs(documentAt(path)); !isLocal(a) {
				t.Errorf("D12 %s: %d", path, a.Status)
			}
			if took := time.Since(start); took > 6*time.Second {
				t.Errorf("D12 %s took %v", path, took)
			}
		})
	}
	wg.Wait()
	// The browsers of this test keep a connection each until it ends: two
	// goroutines here and one at the server.
	for range 50 {
		if runtime.NumGoroutine() <= before+7*4 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("D12 %d goroutines before, %d after", before, runtime.NumGoroutine())
}

// TestStalledHandshake: attack D12, before HTTP begins.
func TestStalledHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := newHarness(t, func(c *Config) { c.ClientHostAddr = l.Addr().String() })
	start := time.Now()
	if a := h.authorizeAs(h.cfg.ClientDocument()); !isLocal(a) || time.Since(start) > 5*time.Second {
		t.Errorf("D12 a stalled handshake: %d after %v", a.Status, time.Since(start))
	}
}

// TestDocumentCache: attack D15.
func TestDocumentCache(t *testing.T) {
	h, host := newClientHost(t)
	fetches := func(f func()) int32 {
		before := host.calls.Load()
		f()
		return host.calls.Load() - before
	}
	at := func(path, cacheControl string) func() {
		doc := h.document()
		doc["client_id"] = documentAt(path)
		host.serve(doc, cacheControl)
		return func() {
			if a := h.authorizeAs(documentAt(path)); a.Status != http.StatusSeeOther {
				t.Errorf("%s: %d %s", path, a.Status, a.Body)
			}
		}
	}
	for i, tt := range []struct {
		name, cacheControl string
		wait               time.Duration
		again              int32
	}{
		{"no header: a minute", "", 59 * time.Second, 0},
		{"no header: no longer", "", 61 * time.Second, 1},
		{"floor", "max-age=0", 59 * time.Second, 0},
		{"max-age", "public, max-age=600", 599 * time.Second, 0},
		{"max-age is over", "public, max-age=600", 601 * time.Second, 1},
		{"ceiling", "max-age=31536000", time.Hour + time.Second, 1},
		{"nonsense", "max-age=-5", 61 * time.Second, 1},
		{"no-store", "no-store", 0, 1},
	} {
		get := at(fmt.Sprintf("/%d.json", i), tt.cacheControl)
		if got := fetches(get); got != 1 {
			t.Errorf("D15 %s: %d fetches at first", tt.name, got)
		}
		h.wait(tt.wait)
		if got := fetches(get); got != tt.again {
			t.Errorf("D15 %s: %d fetches after %v, want %d", tt.name, got, tt.wait, tt.again)
		}
	}
	// The query is part of the key: two documents.
	if got := fetches(at("/q.json?a=1", "max-age=600")) + fetches(at("/q.json?a=2", "max-age=600")); got != 2 {
		t.Errorf("D15 documents that differ in the query were fetched %d times, want 2", got)
	}
	doc := h.document()
	doc["client_id"] = documentAt("/together.json")
	host.serve(doc, "")
	inner := host.handler
	host.answer(func(w http.ResponseWriter, r *http.Request) { time.Sleep(500 * time.Millisecond); inner(w, r) })
	if got := fetches(func() {
		parallel(1000, func() bool {
			_, err := h.clients.Resolve(t.Context(), documentAt("/together.json"))
			if err != nil {
				t.Error(err)
			}
			return true
		})
	}); got != 1 {
		t.Errorf("D15 a thousand callers caused %d fetches, want 1", got)
	}
	// Failures are not remembered, and do not go on for ever either.
	host.answer(http.NotFound)
	if got := fetches(func() {
		for i := range 100 {
			if a := h.authorizeAs(documentAt(fmt.Sprintf("/none/%d", i))); !isLocal(a) {
				t.Errorf("D15 failure %d: %d", i, a.Status)
			}
		}
	}); got != 30 {
		t.Errorf("D15 %d fetches failed at one host within a minute, want 30", got)
	}
	if got := fetches(func() { h.authorizeAs(documentAt("/q.json?a=1")) }); got != 0 {
		t.Errorf("D15 a good document was fetched again: %d", got)
	}
	host.serve(doc, "")
	h.wait(time.Minute)
	if a := h.authorizeAs(documentAt("/together.json")); a.Status != http.StatusSeeOther {
		t.Errorf("D15 after a minute: %d", a.Status)
	}
}

// TestMadeUpDocuments: D15. Ids that a stranger makes up use up what may fail
// at a host. That does not lock out the client there which a user let in.
func TestMadeUpDocuments(t *testing.T) {
	h, host := newClientHost(t)
	id := h.cfg.ClientDocument()
	browser := h.newBrowser()
	h.decide(browser, h.signInAs(browser, h.authorizeQuery(id), john), "allow")
	h.wait(2 * time.Minute) // its document is not believed any longer
	good := host.handler
	host.answer(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/made-up/") {
			http.NotFound(w, r)
			return
		}
		good(w, r)
	})
	for i := range 31 {
		h.authorizeAs(documentAt(fmt.Sprintf("/made-up/%d", i)))
	}
	if got := host.calls.Load(); got != 31 { // the good one, and 30 that failed
		t.Fatalf("%d fetches: nothing is used up", got)
	}
	if a := h.authorizeAs(id); a.Status != http.StatusSeeOther {
		t.Errorf("D15 the client that is let in: %d %s", a.Status, a.Body)
	}
}

// unreachable is an address that drops what is sent to it, once the deadline
// is over.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
}

// TestDocumentOracle: attack D17. What is at an address cannot be told from the
// answer, nor from how long it takes.
func TestDocumentOracle(t *testing.T) {
	notFound, host := newClientHost(t)
	host.answer(http.NotFound)
	untrusted := newHarness(t, func(c *Config) { c.ClientHostAddr = host.Listener.Addr().String() }) // without the authority's certificate
	refused := newHarness(t, func(c *Config) { c.ClientHostAddr = refusing(t) })
	filtered := newHarness(t) // its time is in TestFailuresTakeOneTime
	filtered.clients.Documents = clients.NewDocuments(&http.Client{Transport: unreachable{}}, filtered.time)
	median := map[string]time.Duration{}
	var bodies []string
	for name, h := range map[string]*harness{"404": notFound, "TLS error": untrusted, "refused": refused, "filtered": filtered} {
		browser := h.newBrowser()
		var took []time.Duration
		for range 25 {
			start := time.Now()
			a := h.get(browser, "/authorize?"+h.authorizeQuery(h.cfg.ClientDocument()).Encode())
			took = append(took, time.Since(start))
			if !isLocal(a) {
				t.Errorf("D17 %s: %d", name, a.Status)
			}
			bodies = append(bodies, a.Body)
		}
		slices.Sort(took)
		median[name] = took[len(took)/2]
	}
	if len(slices.Compact(bodies)) != 1 {
		t.Errorf("D17 the answers differ: %q", slices.Compact(bodies))
	}
	for name, took := range median {
		if took > 100*time.Millisecond {
			t.Errorf("D17 %s takes %v, where the others take %v", name, took, median)
		}
	}
}
