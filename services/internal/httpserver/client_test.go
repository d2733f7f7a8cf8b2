package httpserver_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"demo.example/services/internal/httpserver"
)

// TestNewClient: no answer sends a token elsewhere, not even with the method
// and body that a 307 keeps.
func TestNewClient(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	resp, err := httpserver.NewClient(srv.Client().Transport).Post(srv.URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect || asked != 1 {
		t.Errorf("%s after %d requests", resp.Status, asked)
	}
}
