package stocksmcp

import (
	"log/slog"
	"net/http"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/problem"
	"demo.example/services/internal/token"
)

// requireScope lets requests through whose token has scope, and tells others
// to ask the user for it (RFC 6750 §3.1). It stands in front of the whole
// endpoint: a tool can no longer choose the HTTP status, and reading stocks is
// all that there is to do here.
func requireScope(scope, metadata string, log *slog.Logger, next http.Handler) http.Handler {
	challenge := oauth.Challenge{Error: "insufficient_scope", Scope: scope, ResourceMetadata: metadata}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims := token.ClaimsFrom(r.Context())
		if !oauth.HasScope(claims.Scope, scope) {
			log.Info("refused", "request_id", httpserver.RequestID(r.Context()), "error", challenge.Error,
				"sub", claims.Subject, "client_id", claims.ClientID)
			w.Header().Set("WWW-Authenticate", challenge.String())
			problem.Write(w, r, &problem.Details{
				Status: http.StatusForbidden,
				Title:  "Insufficient scope",
				Detail: "Ask the user for the scope " + scope + " and repeat the request with the new token.",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}
