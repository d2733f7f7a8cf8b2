package trail

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"demo.example/services/internal/audit"
)

// BenchmarkAppend is what an event costs the authorization server, one at a
// time and in the batches in which they come under load.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			trail, err := Open(b.Context(), Config{
				File: filepath.Join(b.TempDir(), "audit.db"), Key: []byte("key"), Retention: time.Hour, MaxEvents: 1_000_000,
				Log: slog.New(slog.DiscardHandler), Now: time.Now,
			})
			if err != nil {
				b.Fatal(err)
			}
			defer trail.Close()
			n := 0
			for b.Loop() {
				batch := make([]audit.Event, size)
				for i := range batch {
					n++
					batch[i] = audit.Event{
						ID: fmt.Sprintf("%026d", n), Time: time.Now(), Service: "authserver", Kind: audit.TokenExchanged, Decision: audit.Allowed,
						Request: fmt.Sprintf("%026d", n), Grant: fmt.Sprintf("grant-%020d", n%1000), Token: fmt.Sprintf("token-%020d", n),
						User: fmt.Sprintf("user-%020d", n%100), Client: "https://client.demo.localhost:8443/oauth-client.json", Actors: []string{"stocksmcp"},
						Audience: "https://api.demo.localhost:8443", Scope: "stocks/read",
					}
				}
				if err := trail.Append(b.Context(), batch...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/event")
		})
	}
}
