package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// How keys are kept. The issuer publishes a key before it signs with it, and
// keeps publishing one for as long as tokens that it signed live.
const (
	fetchTimeout = 3 * time.Second
	fetchPause   = time.Second     // between two fetches, whoever asks for an unknown kid
	refreshAfter = 5 * time.Minute // so that a retired key is forgotten
	maxKeyAge    = time.Hour       // how long an issuer that is out of reach is still believed
	maxKeySet    = 64 << 10        // bytes
)

// keySet holds the public keys of an issuer (RFC 7517 §5), fetched on demand.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time
	flight singleflight.Group

	mu      sync.Mutex
	keys    map[string]*ecdsa.PublicKey // by kid; replaced, never changed
	fetched time.Time                   // when keys were fetched
	tried   time.Time                   // when a fetch last ended
	err     error                       // and how
}

func newKeySet(url string, client *http.Client, now func() time.Time) *keySet {
	c := *client
	// The keys are where the configuration says, not where an answer points.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keySet{url: url, client: &c, now: now}
}

// key returns the key called kid. It waits for a fetch only when it has no
// usable key of that name, so strangers who make up names cannot slow down
// valid tokens. The error wraps ErrUnavailable when the fetch failed.
func (s *keySet) key(ctx context.Context, kid string) (*ecdsa.PublicKey, error) {
	if key, age := s.lookup(kid); key != nil {
		if age > refreshAfter {
			s.refresh() // not waited for
		}
		return key, nil
	}
	select {
	case <-s.refresh():
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	if key, _ := s.lookup(kid); key != nil {
		return key, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, s.err)
	}
	return nil, errors.New("kid is unknown")
}

// lookup returns the key called kid and its age, or nil when there is none or
// it is too old to be believed.
func (s *keySet) lookup(kid string) (*ecdsa.PublicKey, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := s.now().Sub(s.fetched)
	if age > maxKeyAge {
		return nil, 0
	}
	return s.keys[kid], age
}

// refresh fetches the keys unless that was tried a moment ago. Whoever calls
// it meanwhile shares the one fetch, which outlives the request that began it.
// A failure leaves the last good keys in place.
func (s *keySet) refresh() <-chan singleflight.Result {
	return s.flight.DoChan("", func() (any, error) {
		s.mu.Lock()
		tooSoon := s.now().Sub(s.tried) < fetchPause
		s.mu.Unlock()
		if tooSoon {
			return nil, nil
		}
		keys, err := s.fetch()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tried, s.err = s.now(), err
		if err == nil {
			s.keys, s.fetched = keys, s.tried
		}
		return nil, nil
	})
}

func (s *keySet) fetch() (map[string]*ecdsa.PublicKey, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("the key set answers " + resp.Status)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, resp.Body, maxKeySet))
	if err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	return parseKeySet(body)
}

// parseKeySet returns the ES256 signing keys of a key set. It passes over
// others, as RFC 7517 §5 asks, but a set without any is an error.
func parseKeySet(b []byte) (map[string]*ecdsa.PublicKey, error) {
	var set struct {
		Keys []struct {
			Kty, Crv, Use, Alg, Kid, X, Y string
		}
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, errors.New("the key set is not JSON")
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, k := range set.Keys {
		if k.Kid == "" || k.Kty != "EC" || k.Crv != "P-256" || k.Use != "" && k.Use != "sig" || k.Alg != "" && k.Alg != "ES256" {
			continue
		}
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		if errX != nil || errY != nil || len(x) != 32 { // RFC 7518 §6.2.1.2: full length
			continue
		}
		// 4 marks an uncompressed point (SEC 1 §2.3.3). Parsing proves that
		// it is on the curve.
		point := append(append([]byte{4}, x...), y...)
		if key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err == nil {
			keys[k.Kid] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no ES256 key")
	}
	return keys, nil
}
