package authserver

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/keys"
	"demo.example/services/internal/dpop"
	"demo.example/services/internal/oauth"
)

// grantTypes are served by the token endpoint, and nothing else is.
var grantTypes = []string{"authorization_code", "refresh_token", "client_credentials", oauth.GrantTokenExchange, oauth.GrantDeviceCode}

// metadata serves the server's description, at both of its well-known places
// (RFC 8414 §3, OpenID Connect Discovery §4). One document for both: nothing
// is advertised that is not served, and everything that is served is.
func (s *server) metadata(c echo.Context) error {
	iss := s.cfg.Issuer()
	c.Response().Header().Set("Cache-Control", "public, max-age=300")
	return c.JSON(http.StatusOK, map[string]any{
		"issuer":                                         iss,
		"authorization_endpoint":                         iss + "/authorize",
		"token_endpoint":                                 iss + "/token",
		"registration_endpoint":                          iss + "/register",
		"device_authorization_endpoint":                  iss + "/device_authorization",
		"revocation_endpoint":                            iss + "/revoke",
		"introspection_endpoint":                         iss + "/introspect",
		"jwks_uri":                                       iss + "/jwks",
		"pushed_authorization_request_endpoint":          iss + "/par",
		"require_pushed_authorization_requests":          false,
		"userinfo_endpoint":                              iss + "/userinfo",
		"end_session_endpoint":                           iss + "/logout",
		"scopes_supported":                               s.grants.Scopes(),
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          grantTypes,
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          clients.AuthMethods,
		"revocation_endpoint_auth_methods_supported":     clients.AuthMethods,
		"introspection_endpoint_auth_methods_supported":  []string{clients.AuthBasic, clients.AuthPost, clients.AuthPrivateKey},
		"introspection_signing_alg_values_supported":     []string{"ES256"}, // RFC 9701 §7
		"authorization_response_iss_parameter_supported": true,
		"client_id_metadata_document_supported":          true,
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"ES256"},
		"dpop_signing_alg_values_supported":              dpop.Algorithms,
		"claims_supported":                               []string{"sub", "auth_time", "acr", "nonce", "at_hash", "email", "email_verified"},
		"acr_values_supported":                           []string{grants.ACR},
		"claims_parameter_supported":                     false,
		"prompt_values_supported":                        grants.Prompts,
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false,
		"service_documentation":                          s.cfg.Origin(""),

		// For private_key_jwt (RFC 8414 §2).
		"token_endpoint_auth_signing_alg_values_supported":         clients.Algorithms,
		"revocation_endpoint_auth_signing_alg_values_supported":    clients.Algorithms,
		"introspection_endpoint_auth_signing_alg_values_supported": clients.Algorithms,
	})
}

// jwks serves the public keys (RFC 7517 §5).
func (s *server) jwks(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(keys.CacheFor.Seconds())))
	return c.Blob(http.StatusOK, "application/jwk-set+json", s.keys.JWKS())
}

// healthz says whether this server can do its work.
func (s *server) healthz(c echo.Context) error {
	if err := s.db.Ping(c.Request().Context()); err != nil {
		s.log.ErrorContext(c.Request().Context(), "database does not answer", "error", err.Error())
		return c.JSON(http.StatusServiceUnavailable, map[string]string{"status": "unavailable"})
	}
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}
