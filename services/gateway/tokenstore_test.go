package gateway

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/config"
	"demo.example/services/internal/revocation"
)

// typical returns the phantom of token i, as long as a real one: the JWT has
// about 650 bytes, and user, grant and id are different for each.
func typical(i int) phantom {
	return phantom{
		JWT:      fmt.Sprintf("%032d", i) + strings.Repeat("j", 650-32),
		Subject:  fmt.Sprintf("u%025d", i),
		ClientID: "https://client.demo.localhost:8443/oauth-client.json",
		GrantID:  fmt.Sprintf("g%025d", i),
		TokenID:  fmt.Sprintf("t%025d", i),
		Scope:    "stocks/read offline_access",
		Expires:  time.Unix(2_000_000_000, 0),
	}
}

func typicalKey(i int) cacheKey {
	return cacheKey{sha256.Sum256([]byte(typicalToken(i))), res}
}

func typicalToken(i int) string { return fmt.Sprintf("opaque-token-of-43-characters-as-ours-%06d", i) }

func TestStoreReturnsWhatItWasGiven(t *testing.T) {
	tests := map[string]phantom{
		"all of it": {JWT: "a.b.c", Subject: "john", ClientID: "agent", GrantID: "g", TokenID: "t", Scope: "stocks/read", Key: "thumbprint", Expires: time.Unix(1, 2)},
		"JWT alone": {JWT: "a.b.c", Expires: time.Unix(0, 0)},
		"the longest": {
			JWT: strings.Repeat("j", maxIntrospection), Subject: strings.Repeat("s", maxIntrospection/4), GrantID: strings.Repeat("g", maxIntrospection/4),
			TokenID: strings.Repeat("t", maxIntrospection/4), Key: strings.Repeat("k", maxIntrospection/4), Expires: time.Unix(0, 0),
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			s := newTokenStore(minTokenCacheBytes)
			asked := noStream().Ask()
			s.add(typicalKey(1), activeToken{typical(1), asked})
			s.add(typicalKey(1), activeToken{want, asked}) // in place of the first
			got, ok := s.get(typicalKey(1))
			if diff := cmp.Diff(want, got.phantom); !ok || diff != "" || got.asked != asked {
				t.Errorf("found %t, asked %v; -want +got:\n%s", ok, got.asked, diff)
			}
			if _, ok := s.get(cacheKey{typicalKey(1).token, "https://api.example"}); ok {
				t.Error("found for another resource")
			}
			s.remove(typicalKey(1))
			if _, ok := s.get(typicalKey(1)); ok {
				t.Error("found after it was removed")
			}
			if used := s.part(typicalKey(1)).used; used != 0 {
				t.Errorf("%d bytes are counted for nothing", used)
			}
		})
	}
}

// TestStoreIsBounded fills a store many times over, while one token is in use.
func TestStoreIsBounded(t *testing.T) {
	s := newTokenStore(minTokenCacheBytes)
	const inUse = 0
	s.add(typicalKey(inUse), activeToken{phantom: typical(inUse)})
	for i := 1; i < 5_000; i++ {
		s.add(typicalKey(i), activeToken{phantom: typical(i)})
		if _, ok := s.get(typicalKey(inUse)); !ok {
			t.Fatalf("R17 the token in use made room for number %d", i)
		}
	}
	entries, used := 0, 0
	for i := range s {
		entries += s[i].entries.Len()
		used += s[i].used
	}
	if want := minTokenCacheBytes / 1200; entries < want || used > minTokenCacheBytes {
		t.Errorf("R17 %d tokens take %d bytes, want at least %d tokens in %d", entries, used, want, minTokenCacheBytes)
	}
	if _, ok := s.get(typicalKey(1)); ok {
		t.Error("a token that was not used for longest is still there")
	}
}

// TestStoreTakesWhatItCounts compares the memory that tokens really take with
// what is counted for them, and with the 1.2 kB that one may take.
func TestStoreTakesWhatItCounts(t *testing.T) {
	const tokens = 20_000 // those of BenchmarkKnownToken take as much each
	s := newTokenStore(1 << 30)
	before := heap()
	for i := range tokens {
		s.add(typicalKey(i), activeToken{phantom: typical(i)})
	}
	each := (heap() - before) / tokens
	counted := 0
	for i := range s {
		counted += s[i].used
	}
	runtime.KeepAlive(s)
	t.Logf("a token takes %d bytes, counted are %d", each, counted/tokens)
	if each > 1200 || each > counted/tokens {
		t.Errorf("a token takes %d bytes, want at most 1200 and the %d that are counted", each, counted/tokens)
	}
}

// heap returns the bytes that are in use after a collection.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// BenchmarkKnownToken measures what a request with a known token costs in the
// gateway itself, with few and with very many tokens in the cache: "lookup" is
// the cache alone, "request" a request up to the service. A million needs more
// than a gigabyte.
func BenchmarkKnownToken(b *testing.B) {
	for _, tokens := range []int{1_000, 1_000_000} {
		before := heap()
		clock := func() time.Time { return time.Unix(1_900_000_000, 0) }
		revoked := revocation.NewWatch(maxTokenCacheTTL, clock)
		revoked.Connected()
		c := newTokenCache(4<<30, revoked, clock, nil)
		for i := range tokens {
			c.remember(typicalKey(i), c.now(), activeToken{typical(i), revoked.Ask()}, nil)
		}
		each := float64(heap()-before) / float64(tokens)
		known := make([]string, 1<<16) // to be asked for in no order
		for i := range known {
			known[i] = typicalToken(i * 7919 % tokens)
		}
		var n atomic.Int64
		b.Run(fmt.Sprintf("lookup/%d", tokens), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, _ := c.known(known[n.Add(1)&0xffff], res); !ok {
					b.Fatal("not known")
				}
			}
			b.ReportMetric(each, "B/token")
		})
		cfg := settings{Site: testSite, RequestsPerUser: maxPerMinute, RequestsPerClient: maxPerMinute, RefusalsPerIP: 1, UpstreamConcurrency: 1024}
		service := newUpstream(b)
		service.Config.Handler = answerWith(http.StatusOK, "application/json", "{}")
		cfg.StocksmcpURL.Scheme, cfg.StocksmcpURL.Host = "http", service.Listener.Addr().String()
		all := routes(cfg)
		rt := all[slices.IndexFunc(all, func(rt route) bool { return rt.Host == "mcp" })]
		rt.Resource.ID = res
		_, log := quietLog()
		h := rt.handler(cfg, c, newProofs(config.Secret(testSecret)), newQuotas(cfg), newBackend("mcp", cfg.StocksmcpURL, 1024, newTransport(nil), log), log)
		b.Run(fmt.Sprintf("request/%d", tokens), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header.Set("Authorization", "Bearer "+known[n.Add(1)&0xffff])
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
		runtime.KeepAlive(c)
	}
}
