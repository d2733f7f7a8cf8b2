package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/site"
)

// TestLogoutURIs: whichever way a client comes to be known, where it sends
// people after they signed out is checked and compared like a redirect URI.
func TestLogoutURIs(t *testing.T) {
	where := site.Site{Domain: "demo.localhost", HTTPSPort: 8443}
	for uri, good := range map[string]bool{
		"https://app.example/bye": true, "http://127.0.0.1/bye": true, "com.example.app:/bye": true,
		"javascript:alert(1)": false, "http://app.example/": false, "https://app.example/#x": false, "https://u@app.example/": false, "": false,
	} {
		doc := `{"client_id":"https://app.example/c","client_name":"App","redirect_uris":["https://app.example/cb"],"post_logout_redirect_uris":["` + uri + `"]}`
		if _, err := ParseDocument("https://app.example/c", []byte(doc)); (err == nil) != good {
			t.Errorf("document with %q: %v", uri, err)
		}
		file := filepath.Join(t.TempDir(), "clients.json")
		preset := `[{"client_id":"c","client_name":"App","token_endpoint_auth_method":"none","post_logout_redirect_uris":["` + uri + `"]}]`
		if err := os.WriteFile(file, []byte(preset), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadPresets(file, "", where); (err == nil) != good {
			t.Errorf("reviewed client with %q: %v", uri, err)
		}
	}
	c := store.Client{RedirectURIs: []string{"https://app.example/cb"}, LogoutURIs: []string{"https://app.example/bye", "http://127.0.0.1/bye"}}
	for uri, want := range map[string]bool{
		"https://app.example/bye": true, "http://127.0.0.1:4321/bye": true,
		"https://app.example/cb": false, "https://app.example/bye/": false, "https://app.example/bye?x": false, "http://localhost/bye": false, "": false, strings.ToUpper("https://app.example/bye"): false,
	} {
		if got := IsLogoutRedirect(c, uri); got != want {
			t.Errorf("%q: %v", uri, got)
		}
	}
}
