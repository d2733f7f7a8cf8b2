package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClientDocument(t *testing.T) {
	d := start(t)
	resp, body := d.do(t, "GET", testSite.ClientDocument(), "")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" ||
		!strings.Contains(resp.Header.Get("Cache-Control"), "max-age=") || len(body) > 5<<10 {
		t.Fatalf("got %d %v, %d bytes", resp.StatusCode, resp.Header, len(body))
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"client_id":                  "https://client.demo.localhost:8443/oauth-client.json", // the URL, byte for byte
		"client_name":                "Stocks Demo Agent",
		"client_uri":                 "https://client.demo.localhost:8443",
		"redirect_uris":              []any{"http://127.0.0.1/callback", "http://localhost/callback"},
		"grant_types":                []any{"authorization_code", "refresh_token"},
		"response_types":             []any{"code"},
		"token_endpoint_auth_method": "none",
		"application_type":           "native",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
}
