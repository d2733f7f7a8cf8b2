package clients

import (
	"fmt"

	"demo.example/services/authserver/store"
)

// IsLogoutRedirect reports whether a client registered that users are sent to
// uri when they signed out (OpenID Connect RP-Initiated Logout 1.0 §3.1). It
// is compared as a redirect URI is.
func IsLogoutRedirect(c store.Client, uri string) bool { return isRegistered(c.LogoutURIs, uri) }

// checkLogoutURIs reports why post_logout_redirect_uris cannot be registered.
// A browser is sent there, so they are held to what redirect URIs are; unlike
// those they may be missing.
func checkLogoutURIs(uris []string) error {
	if len(uris) > maxRedirects {
		return fmt.Errorf("send at most %d post_logout_redirect_uris", maxRedirects)
	}
	for _, uri := range uris {
		if err := CheckRedirect(uri); err != nil {
			return fmt.Errorf("post_logout_redirect_uris: %w", err)
		}
	}
	return nil
}
