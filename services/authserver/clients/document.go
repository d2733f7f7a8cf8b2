package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/store"
)

// Document is a client ID metadata document
// (draft-ietf-oauth-client-id-metadata-document-00 §4).
type Document struct {
	ID           string   `json:"client_id"`
	Name         string   `json:"client_name"`
	URI          string   `json:"client_uri"`
	RedirectURIs []string `json:"redirect_uris"`
	LogoutURIs   []string `json:"post_logout_redirect_uris"`
	GrantTypes   []string `json:"grant_types"`
	AuthMethod   string   `json:"token_endpoint_auth_method"`
	BoundTokens  bool     `json:"dpop_bound_access_tokens"` // RFC 9449 §5.2

	// For private_key_jwt.
	SigningAlg string          `json:"token_endpoint_auth_signing_alg"`
	JWKS       json.RawMessage `json:"jwks"`
	JWKSURI    string          `json:"jwks_uri"`
	keys       string          // what of JWKS can be used
}

// Limits of a document and of how long one is believed.
const (
	maxDocument   = 5 << 10 // bytes (§6.6)
	fetchTime     = 5 * time.Second
	minFresh      = time.Minute
	maxFresh      = time.Hour
	documentCache = 1000 // documents

	// Fetches that may fail in a minute: at one host, and in all. It keeps
	// strangers from having this server call a victim's (attack D15).
	failuresPerHost = 30
	failuresTotal   = 1000

	// Fetches of one document that may fail in a minute beyond those, where a
	// user let its client in. All of them together have no bound, which would be
	// a stranger's to use up.
	failuresPerKnown = 5
)

// errThrottled is a host of which too many documents could not be fetched, or
// too many in all.
var errThrottled = errors.New("too many client documents could not be fetched lately")

// Documents fetches and caches client ID metadata documents.
type Documents struct {
	client *http.Client
	now    func() time.Time
	cache  *lru.Cache[string, cached]
	flight singleflight.Group

	failures      *limits.Limiter // by host
	knownFailures *limits.Limiter // by client id

	// FailureTime is how long a fetch that fails takes, if it would have been
	// over sooner: else time would tell what answers at an address, and whether
	// anything does.
	FailureTime time.Duration
}

// FailureTime covers every way to fail at once, and an address that drops what
// is sent to it, on which dialTime is spent.
const FailureTime = dialTime + 500*time.Millisecond

type cached struct {
	doc   Document
	until time.Time
}

// NewDocuments returns a cache in front of client, which must be guarded as
// by NewFetcher: the URLs are chosen by strangers.
func NewDocuments(client *http.Client, now func() time.Time) *Documents {
	cache, err := lru.New[string, cached](documentCache)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &Documents{
		client: client, now: now, cache: cache,
		failures:      limits.New(failuresPerHost, failuresTotal, time.Minute, now),
		knownFailures: limits.New(failuresPerKnown, math.MaxInt, time.Minute, now),
	}
}

// Get returns the document at id. Any number of callers wait for one fetch.
// Failures are not cached.
func (d *Documents) Get(ctx context.Context, id string) (Document, error) {
	if err := checkID(id); err != nil {
		return Document{}, err
	}
	u, err := url.Parse(id)
	if err != nil {
		return Document{}, err
	}
	return d.get(ctx, id, id, d.failures, strings.TrimSuffix(strings.ToLower(u.Hostname()), "."))
}

// GetKnown returns the document of a client that a user let in. Anybody can
// make up ids at its host until no more of them may fail there; that must not
// lock out this one.
func (d *Documents) GetKnown(ctx context.Context, id string) (Document, error) {
	return d.get(ctx, id, "known "+id, d.knownFailures, id) // a flight of its own: the other one may just be refused
}

// get returns the document at id. A fetch that fails counts as one of key.
func (d *Documents) get(ctx context.Context, id, flight string, failures *limits.Limiter, key string) (Document, error) {
	if doc, ok := d.cached(id); ok {
		return doc, nil
	}
	// The fetch outlives the caller that started it, since others wait for it.
	done := d.flight.DoChan(flight, func() (any, error) {
		if doc, ok := d.cached(id); ok {
			return doc, nil // the fetch before this one ended after the look above
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
		defer cancel()
		if failures.Take(key) > 0 {
			return Document{}, errThrottled
		}
		failed := time.NewTimer(d.FailureTime)
		defer failed.Stop()
		doc, fresh, err := d.fetch(ctx, id)
		if err != nil {
			<-failed.C
		} else {
			failures.Refund(key)
		}
		if err == nil && fresh > 0 {
			d.cache.Add(id, cached{doc, d.now().Add(fresh)})
		}
		return doc, err
	})
	select {
	case <-ctx.Done():
		return Document{}, ctx.Err()
	case res := <-done:
		doc, _ := res.Val.(Document)
		return doc, res.Err
	}
}

// cached returns a document that was fetched before and may still be believed.
func (d *Documents) cached(id string) (Document, bool) {
	hit, ok := d.cache.Get(id)
	return hit.doc, ok && d.now().Before(hit.until)
}

// checkID reports why a URL cannot be a client id (§3).
func checkID(id string) error {
	u, err := url.Parse(id)
	switch {
	case err != nil || len(id) > 1000:
		return errors.New("the client id is not a URL")
	case strings.ContainsFunc(id+u.Host, func(r rune) bool { return r <= ' ' || r > '~' }) || u.Host != strings.ToLower(u.Host):
		// The host is what people are shown: as it is looked up, so that none
		// can look like another.
		return errors.New("the client id is not written in ASCII, with its host in small letters (punycode)")
	case u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Contains(id, "#"):
		return errors.New("the client id is not an https URL without user information and fragment")
	case u.Path == "" || u.Path == "/":
		return errors.New("the client id has no path")
	case slices.ContainsFunc(strings.Split(u.Path, "/"), func(s string) bool { return s == "." || s == ".." }):
		return errors.New("the client id has dot segments")
	}
	return nil
}

func (d *Documents) fetch(ctx context.Context, id string) (Document, time.Duration, error) {
	var doc Document
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil)
	if err != nil {
		return doc, 0, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := d.client.Do(req)
	if err != nil {
		return doc, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return doc, 0, fmt.Errorf("the client document was answered with %d", resp.StatusCode)
	}
	if mt, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mt != "application/json" && !strings.HasSuffix(mt, "+json") {
		return doc, 0, errors.New("the client document is not JSON")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return doc, 0, err
	}
	if len(body) > maxDocument {
		return doc, 0, fmt.Errorf("the client document is larger than %d bytes", maxDocument)
	}
	doc, err = ParseDocument(id, body)
	return doc, freshFor(resp.Header), err
}

// ParseDocument reads the document found at id and reports why it cannot be
// believed.
func ParseDocument(id string, body []byte) (Document, error) {
	var doc Document
	names, err := memberNames(body)
	if err != nil {
		return doc, err
	}
	for _, n := range names {
		// A secret that everybody can read is none (§4.1). Comparing without
		// case keeps to what the decoder below would take.
		if strings.EqualFold(n, "client_secret") || strings.EqualFold(n, "client_secret_expires_at") {
			return doc, errors.New("the client document holds a secret")
		}
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return doc, errors.New("the client document is not JSON metadata")
	}
	switch {
	case doc.ID != id:
		return doc, errors.New("the client document names another client_id than its own URL")
	case doc.Name == "" || len([]rune(doc.Name)) > maxName:
		return doc, fmt.Errorf("the client document needs a client_name of at most %d characters", maxName)
	case doc.AuthMethod != "" && doc.AuthMethod != AuthNone && doc.AuthMethod != AuthPrivateKey:
		return doc, errors.New("the client document asks for an authentication method that is not offered to it; use none or private_key_jwt")
	}
	client := store.Client{AuthMethod: doc.AuthMethod}
	if err := registerKeys(&client, doc.JWKS, doc.JWKSURI, doc.SigningAlg); err != nil {
		return doc, fmt.Errorf("the client document: %w", err)
	}
	doc.keys = client.JWKS
	if err := checkRedirects(doc.RedirectURIs); err != nil {
		return doc, err
	}
	if err := checkLogoutURIs(doc.LogoutURIs); err != nil {
		return doc, err
	}
	if len(doc.GrantTypes) == 0 {
		doc.GrantTypes = []string{"authorization_code"}
	}
	if doc.GrantTypes = known(doc.GrantTypes, offeredToDocuments); !slices.Contains(doc.GrantTypes, "authorization_code") {
		return doc, errors.New("the client document does not list the grant type authorization_code")
	}
	return doc, nil
}

// memberNames returns the names of a JSON object's members, or an error when
// it is not one object, or a name is there twice in any case: parsers differ
// in which of the two they believe.
func memberNames(body []byte) ([]string, error) {
	notObject := errors.New("the client document is not one JSON object")
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, notObject
	}
	var names []string
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, notObject
		}
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return nil, fmt.Errorf("the client document holds %q twice", name)
		}
		names = append(names, name)
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return nil, notObject
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, notObject
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, notObject
	}
	return names, nil
}

// freshFor returns how long a document may be believed (RFC 9111 §5.2.2),
// within bounds. A document that says no-store is used once.
func freshFor(h http.Header) time.Duration {
	fresh := minFresh
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.ToLower(directive)), "=")
		switch name {
		case "no-store":
			return 0
		case "max-age":
			if s, err := strconv.Atoi(value); err == nil && s >= 0 {
				fresh = time.Duration(min(s, int(maxFresh.Seconds()))) * time.Second
			}
		}
	}
	return max(minFresh, fresh)
}
