package gateway

import (
	"net/http"

	"demo.example/services/internal/site"
)

// newClientDocument serves the demo client's metadata document, whose URL is
// the client's id (Client ID Metadata Documents, draft-ietf-oauth-client-id-
// metadata-document-00 §4). It stands for any client whose maker publishes
// such a document instead of registering everywhere. The client is a program
// on the user's machine: it keeps no secret and listens on a loopback port of
// its own choice (RFC 8252 §7.3).
func newClientDocument(s site.Site) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/oauth-client.json", newJSONDocument(struct {
		ClientID        string   `json:"client_id"`
		Name            string   `json:"client_name"`
		URI             string   `json:"client_uri"`
		RedirectURIs    []string `json:"redirect_uris"`
		GrantTypes      []string `json:"grant_types"`
		ResponseTypes   []string `json:"response_types"`
		AuthMethod      string   `json:"token_endpoint_auth_method"`
		ApplicationType string   `json:"application_type"`
	}{
		ClientID:        s.ClientDocument(),
		Name:            "Stocks Demo Agent",
		URI:             s.Origin("client"),
		RedirectURIs:    []string{"http://127.0.0.1/callback", "http://localhost/callback"},
		GrantTypes:      []string{"authorization_code", "refresh_token"},
		ResponseTypes:   []string{"code"},
		AuthMethod:      "none",
		ApplicationType: "native",
	}))
	return mux
}
