package gateway

import (
	"net/http"
	"slices"

	"demo.example/services/internal/dpop"
)

// metadataPath is where protected resource metadata is found (RFC 9728 §3).
const metadataPath = "/.well-known/oauth-protected-resource"

// publishMetadata serves the metadata of a protected resource, by which a
// client that was refused learns who issues tokens for it (RFC 9728 §3.2).
func publishMetadata(issuer string, res resource, next http.Handler) http.Handler {
	document := newJSONDocument(struct {
		Resource             string   `json:"resource"`
		AuthorizationServers []string `json:"authorization_servers"`
		ScopesSupported      []string `json:"scopes_supported"`
		BearerMethods        []string `json:"bearer_methods_supported"`
		Name                 string   `json:"resource_name"`
		ProofAlgs            []string `json:"dpop_signing_alg_values_supported"`
		ProofRequired        bool     `json:"dpop_bound_access_tokens_required"`
	}{res.ID, []string{issuer}, []string{res.Scope}, []string{"header"}, res.Name, dpop.Algorithms, false})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(res.Metadata, r.URL.Path) {
			document.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
