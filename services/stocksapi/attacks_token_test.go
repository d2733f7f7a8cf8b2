package stocksapi

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/token"
	"demo.example/services/internal/token/tokentest"
)

// TestTokenAttacks: attacks J1, J2, J3, J4, J5, J7, J9, J10 and J11, over the
// network at the stocks API.
func TestTokenAttacks(t *testing.T) {
	stocks, err := loadCatalog()
	if err != nil {
		t.Fatal(err)
	}
	tokentest.Attack(t, tokentest.Service{
		Issuer: testSite.Issuer(), Audience: testSite.APIResource(),
		Handler: func(v *token.Verifier) http.Handler {
			return routes(parts{Site: testSite, Verifier: v, Catalog: stocks, Now: time.Now, Audit: audit.Discard, Log: slog.New(slog.DiscardHandler)})
		},
		Request: func(url string) *http.Request {
			r, err := http.NewRequest(http.MethodGet, url+"/stocks/ALDP", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	})
}
