package gateway

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResourceMetadata(t *testing.T) {
	d := start(t)
	document := func(resource, name string) map[string]any {
		return map[string]any{
			"resource":                 resource,
			"authorization_servers":    []any{"https://login.demo.localhost:8443"},
			"scopes_supported":         []any{"stocks/read"},
			"bearer_methods_supported": []any{"header"},
			"resource_name":            name,

			"dpop_signing_alg_values_supported": []any{"ES256", "EdDSA", "RS256", "PS256"},
			"dpop_bound_access_tokens_required": false,
		}
	}
	mcp := document("https://mcp.demo.localhost:8443/", "Stocks MCP server")
	api := document("https://api.demo.localhost:8443", "Stocks API")
	for url, want := range map[string]map[string]any{
		mcpMetadata:                           mcp,
		mcpMetadata + "/":                     mcp,
		testSite.APIResource() + metadataPath: api,
		testSite.APIResource() + metadataPath + "/stocks": api,
	} {
		t.Run(url, func(t *testing.T) {
			// Public: any page may read it, no token is needed.
			resp, body := d.do(t, "GET", url, "", "Origin", "https://page.example")
			if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" ||
				resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Cache-Control") == "" {
				t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
			for method, status := range map[string]int{"HEAD": 200, "OPTIONS": 204, "POST": 405, "DELETE": 405} {
				if resp, _ := d.do(t, method, url, ""); resp.StatusCode != status {
					t.Errorf("%s: got %d, want %d", method, resp.StatusCode, status)
				}
			}
		})
	}
	if resp, _ := d.do(t, "GET", mcpMetadata+"/other", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("metadata of a path that is no resource: got %d, want 404", resp.StatusCode)
	}
	if n := d.forwarded(); n != 0 {
		t.Errorf("%d requests were forwarded", n)
	}
}
