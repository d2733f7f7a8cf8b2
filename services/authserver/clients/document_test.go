package clients

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
)

// publisher is a web site that publishes a client document, and counts how
// often it is asked for it.
type publisher struct {
	*httptest.Server
	Requests atomic.Int64
	Docs     *Documents
	clock    atomic.Int64 // nanoseconds after now
}

// publish serves what answer writes, to documents that may reach it.
func publish(t *testing.T, answer func(w http.ResponseWriter, id string)) *publisher {
	t.Helper()
	p := &publisher{}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Requests.Add(1)
		answer(w, p.URL+r.URL.RequestURI())
	}))
	t.Cleanup(p.Close)
	p.Docs = NewDocuments(fetcherFor(p.Server), func() time.Time { return now.Add(time.Duration(p.clock.Load())) })
	return p
}

// fetcherFor returns a guarded client that may reach srv and nothing else.
func fetcherFor(srv *httptest.Server) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	addr := srv.Listener.Addr().String()
	return NewFetcher(roots, addr, addr)
}

func document(id string) string {
	return fmt.Sprintf(`{"client_id":%q,"client_name":"Agent","client_uri":"https://agent.example","redirect_uris":["http://127.0.0.1/cb"],"grant_types":["authorization_code","refresh_token"]}`, id)
}

func answerJSON(w http.ResponseWriter, id string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, document(id))
}

func TestResolveByDocument(t *testing.T) {
	p := publish(t, answerJSON)
	r, _ := newRegistry()
	r.Documents = p.Docs
	id := p.URL + "/client.json"
	got, err := r.Resolve(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	want := store.Client{
		ID: id, Registration: store.RegisteredByDocument, Name: "Agent", URI: "https://agent.example",
		RedirectURIs: []string{"http://127.0.0.1/cb"}, GrantTypes: []string{"authorization_code", "refresh_token"}, AuthMethod: AuthNone,
		Scope: "stocks/read openid", Resources: []string{"https://mcp.demo.example/"}, Type: TypeMCP, Assurance: AssuranceDomain, CreatedAt: now,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, id := range []string{"reviewed", "dcr-unknown", "http://agent.example/c.json", "HTTPS://agent.example/c.json", ""} {
		if _, err := r.Resolve(t.Context(), id); id != "reviewed" && !errors.Is(err, ErrUnknown) {
			t.Errorf("Resolve(%q): %v", id, err)
		}
	}
	if p.Requests.Load() != 1 {
		t.Errorf("%d requests, want 1", p.Requests.Load())
	}
}

// TestBadIDs: a URL that cannot be a client id is not even looked up.
func TestBadIDs(t *testing.T) {
	p := publish(t, answerJSON)
	host := strings.TrimPrefix(p.URL, "https://")
	for _, id := range []string{
		p.URL, p.URL + "/", "http://" + host + "/c.json", "https:///c.json", "https://u@" + host + "/c.json", "https://u:p@" + host + "/c.json",
		p.URL + "/c.json#", p.URL + "/c.json#x", p.URL + "/../c.json", p.URL + "/./c.json", p.URL + "/a/%2e%2e/c.json", p.URL + "/a/..", p.URL + "/%zz",
		p.URL + "/c.json\n", "https:" + host + "/c.json", p.URL + "/" + strings.Repeat("a", 1000), "",
	} {
		if _, err := p.Docs.Get(t.Context(), id); err == nil {
			t.Errorf("%q is taken for a client id", id)
		}
	}
	if p.Requests.Load() != 0 {
		t.Errorf("%d requests, want none", p.Requests.Load())
	}
}

// TestBadDocuments: what cannot be believed is refused, and asked for again
// the next time (attacks D11, D12 and D13).
func TestBadDocuments(t *testing.T) {
	body := func(contentType string, status int, body func(id string) string) func(http.ResponseWriter, string) {
		return func(w http.ResponseWriter, id string) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Cache-Control", "max-age=3600")
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				fmt.Fprint(w, body(id))
			}
		}
	}
	redirect := func(status int) func(http.ResponseWriter, string) {
		return func(w http.ResponseWriter, id string) {
			if strings.HasSuffix(id, "?moved") {
				answerJSON(w, strings.TrimSuffix(id, "?moved"))
				return
			}
			w.Header().Set("Location", "?moved")
			w.WriteHeader(status)
		}
	}
	const ok = http.StatusOK
	for name, answer := range map[string]func(http.ResponseWriter, string){
		"201":             body("application/json", 201, document),
		"204":             body("application/json", 204, document),
		"206":             body("application/json", 206, document),
		"404":             body("application/json", 404, document),
		"500":             body("application/json", 500, document),
		"301":             redirect(301),
		"302":             redirect(302),
		"307":             redirect(307),
		"308":             redirect(308),
		"HTML":            body("text/html", ok, document),
		"text":            body("text/plain; charset=utf-8", ok, document),
		"no content type": body("", ok, document),
		"almost JSON":     body("application/json5", ok, document),
		"5 kB and a byte": body("application/json", ok, func(id string) string { return document(id) + strings.Repeat(" ", maxDocument+1-len(document(id))) }),
		"without end":     func(w http.ResponseWriter, id string) { answerJSON(w, id); spam(w) },
		"a gzip bomb":     gzipBomb,
		"huge headers": func(w http.ResponseWriter, id string) {
			w.Header().Set("X", strings.Repeat("x", 64<<10))
			answerJSON(w, id)
		},
		"another client_id": body("application/json", ok, func(id string) string { return document(id + "x") }),
		"cut off": func(w http.ResponseWriter, id string) {
			w.Header().Set("Content-Length", "4000")
			answerJSON(w, id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := publish(t, answer)
			for try := range int64(2) {
				if doc, err := p.Docs.Get(t.Context(), p.URL+"/c.json"); err == nil || p.Docs.cache.Len() > 0 {
					t.Errorf("got %+v, %v; %d cached", doc, err, p.Docs.cache.Len())
				}
				if got := p.Requests.Load(); got != try+1 {
					t.Errorf("%d requests after try %d: errors are never cached, redirects never followed", got, try+1)
				}
			}
		})
	}
}

// spam writes until nobody listens any more.
func spam(w http.ResponseWriter) {
	for {
		if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<10)); err != nil {
			return
		}
	}
}

func gzipBomb(w http.ResponseWriter, id string) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprint(z, strings.Repeat(" ", 4<<20)+document(id)) // compresses to about 4 kB
	z.Close()
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b.Bytes())
}

func TestParseDocument(t *testing.T) {
	const id = "https://agent.example/c.json"
	with := func(member string) string { return strings.TrimSuffix(document(id), "}") + "," + member + "}" }
	tests := map[string]struct {
		body string
		want string // part of the error, empty when it can be believed
	}{
		"complete":                {document(id), ""},
		"the least":               {`{"client_id":"` + id + `","client_name":"A","redirect_uris":["https://agent.example/cb"]}`, ""},
		"white space around":      {" \n" + document(id) + "\n", ""},
		"method none":             {with(`"token_endpoint_auth_method":"none"`), ""},
		"unknown members":         {with(`"client_type":"web","client_assurance_level":3,"scope":"admin","jwks_uri":"http://169.254.169.254/"`), ""},
		"nested duplicates":       {with(`"x":{"a":1,"a":2}`), ""},
		"another client_id":       {document(id + "/"), "client_id"},
		"client_id in upper case": {document("https://AGENT.example/c.json"), "client_id"},
		"client_id escaped":       {document("https://agent.example/%63.json"), "client_id"},
		"no client_id":            {`{"client_name":"A","redirect_uris":["https://agent.example/cb"]}`, "client_id"},
		"no name":                 {`{"client_id":"` + id + `","redirect_uris":["https://agent.example/cb"]}`, "client_name"},
		"long name":               {`{"client_id":"` + id + `","client_name":"` + strings.Repeat("a", 101) + `","redirect_uris":["https://agent.example/cb"]}`, "client_name"},
		"no redirect":             {`{"client_id":"` + id + `","client_name":"A"}`, "redirect_uris"},
		"bad redirect":            {`{"client_id":"` + id + `","client_name":"A","redirect_uris":["javascript:alert(1)"]}`, "javascript"},
		"secret":                  {with(`"client_secret":"x"`), "secret"},
		"empty secret":            {with(`"client_secret":""`), "secret"},
		"secret, other case":      {with(`"Client_Secret":"x"`), "secret"},
		"secret, long s":          {with(`"client_ſecret":"x"`), "secret"},
		"secret, escaped":         {with(`"client\u005fsecret":"x"`), "secret"},
		"secret's expiry":         {with(`"client_secret_expires_at":0`), "secret"},
		"secret method":           {with(`"token_endpoint_auth_method":"client_secret_basic"`), "method"},
		"key method":              {with(`"token_endpoint_auth_method":"private_key_jwt"`), "method"},
		"id twice":                {with(`"client_id":"` + id + `"`), "twice"},
		"id twice, other case":    {with(`"CLIENT_ID":"https://evil.example/c.json"`), "twice"},
		"id twice, Kelvin sign":   {with(`"x":1,"k":1,"K":2`), "twice"},
		"redirects twice":         {with(`"redirect_uris":["https://evil.example/"]`), "twice"},
		"no code grant":           {`{"client_id":"` + id + `","client_name":"A","redirect_uris":["https://agent.example/cb"],"grant_types":["client_credentials"]}`, "authorization_code"},
		"two objects":             {document(id) + document(id), "one JSON object"},
		"trailing word":           {document(id) + "x", "one JSON object"},
		"trailing brace":          {document(id) + "}", "one JSON object"},
		"a list":                  {"[" + document(id) + "]", "one JSON object"},
		"null":                    {"null", "one JSON object"},
		"a string":                {`"x"`, "one JSON object"},
		"empty":                   {"", "one JSON object"},
		"cut off":                 {document(id)[:40], "one JSON object"},
		"number for a name":       {`{"client_id":"` + id + `","client_name":1}`, "JSON metadata"},
		"number for the list":     {`{"client_id":"` + id + `","client_name":"A","redirect_uris":1}`, "JSON metadata"},
	}
	for name, tt := range tests {
		_, err := ParseDocument(id, []byte(tt.body))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// FuzzParseDocument: a document that is believed names its own URL, has no
// secret, and leads nowhere that could not be registered.
func FuzzParseDocument(f *testing.F) {
	const id = "https://agent.example/c.json"
	for _, body := range []string{document(id), document(id) + " ", `{"client_id":"` + id + `","Client_Name":"A","redirect_uris":["cursor://x"],"client_ſecret":1}`, `[]`, `{"client_id":"a","client_id":"b"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := ParseDocument(id, body)
		if err != nil {
			return
		}
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("%q is believed and no JSON object: %v", body, err)
		}
		for name := range members {
			if strings.EqualFold(name, "client_secret") {
				t.Fatalf("%q is believed and holds a secret", body)
			}
		}
		if doc.ID != id || doc.Name == "" || doc.AuthMethod != "" && doc.AuthMethod != AuthNone || len(doc.RedirectURIs) == 0 || len(doc.RedirectURIs) > maxRedirects ||
			!slices.Contains(doc.GrantTypes, "authorization_code") || len(known(doc.GrantTypes, offered)) != len(doc.GrantTypes) {
			t.Fatalf("%q is believed: %+v", body, doc)
		}
		for _, uri := range doc.RedirectURIs {
			if err := CheckRedirect(uri); err != nil {
				t.Fatalf("%q is believed: %v", body, err)
			}
		}
	})
}

// TestOneFetch: any number of callers wait for one fetch (attack D15), and it
// goes on for the others when the first one leaves.
func TestOneFetch(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	p := publish(t, func(w http.ResponseWriter, id string) {
		arrived <- struct{}{}
		<-release
		answerJSON(w, id)
	})
	id := p.URL + "/c.json"
	first, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := p.Docs.Get(first, id)
		left <- err
	}()
	<-arrived
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if doc, err := p.Docs.Get(t.Context(), id); err != nil || doc.ID != id {
				t.Errorf("got %+v, %v", doc, err)
			}
		})
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left: %v", err)
	}
	close(release)
	wg.Wait()
	if got := p.Requests.Load(); got != 1 {
		t.Errorf("%d fetches for 101 callers, want 1", got)
	}
	if _, err := p.Docs.Get(t.Context(), id+"?v=2"); err != nil || p.Requests.Load() != 2 {
		t.Errorf("another URL of the same site: %v, %d fetches, want 2", err, p.Requests.Load())
	}
}

// TestFreshness: a document is believed as long as it says, but not shorter
// than a minute or longer than an hour (RFC 9111 §5.2.2).
func TestFreshness(t *testing.T) {
	for name, tt := range map[string]struct {
		headers []string
		want    time.Duration
	}{
		"nothing said":      {nil, time.Minute},
		"ten minutes":       {[]string{"public, max-age=600"}, 10 * time.Minute},
		"any case":          {[]string{"Public, MAX-AGE=600"}, 10 * time.Minute},
		"less than a floor": {[]string{"max-age=1"}, time.Minute},
		"zero":              {[]string{"max-age=0"}, time.Minute},
		"more than a day":   {[]string{"max-age=86400"}, time.Hour},
		"not a number":      {[]string{"max-age=soon"}, time.Minute},
		"negative":          {[]string{"max-age=-600"}, time.Minute},
		"too large":         {[]string{"max-age=99999999999999999999"}, time.Minute},
		"no-store":          {[]string{"no-store"}, 0},
		"no-store last":     {[]string{"max-age=600, no-store"}, 0},
		"in two headers":    {[]string{"max-age=600", "no-store"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := publish(t, func(w http.ResponseWriter, id string) {
				w.Header()["Cache-Control"] = tt.headers
				answerJSON(w, id)
			})
			fetches := func(after time.Duration) int64 {
				p.clock.Store(int64(after))
				if _, err := p.Docs.Get(t.Context(), p.URL+"/c.json"); err != nil {
					t.Fatal(err)
				}
				return p.Requests.Load()
			}
			fetches(0)
			if tt.want == 0 {
				if got := fetches(0); got != 2 {
					t.Errorf("%d fetches, want 2: it is used once", got)
				}
				return
			}
			if got := fetches(tt.want - 1); got != 1 {
				t.Errorf("%d fetches just before %v, want 1", got, tt.want)
			}
			if got := fetches(tt.want); got != 2 {
				t.Errorf("%d fetches after %v, want 2", got, tt.want)
			}
		})
	}
}
