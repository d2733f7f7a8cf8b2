package stocksmcp

import (
	"log/slog"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/revocation"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
)

// routes is the whole surface of the MCP server: one endpoint, which takes
// POST, and the health check.
func routes(s site.Site, verifier *token.Verifier, server *mcp.Server, revoked *revocation.Watch, recorder audit.Recorder, log *slog.Logger) http.Handler {
	// For a resource at the root, the metadata is at the root as well
	// (RFC 9728 §3.1).
	metadata := s.Origin("mcp") + "/.well-known/oauth-protected-resource"
	guard := token.Guard{Verifier: verifier, Scope: oauth.ScopeStocksRead, ResourceMetadata: metadata, Log: log}

	endpoint := http.Handler(mcp.NewStreamableHTTPHandler(
		func(*http.Request) *mcp.Server { return server }, // shared: it keeps nothing of a request
		&mcp.StreamableHTTPOptions{
			Stateless:                    true,
			PropagateRequestCancellation: true,
			MaxRequestBodyBytes:          httpserver.MaxMessage,
			// The gateway checks Host. The name that it is asked by is public,
			// and the connection local, which the SDK takes for an attack.
			DisableLocalhostProtection: true,
		},
	))
	endpoint = rememberConnection(endpoint)
	endpoint = requireScopes(metadata, recorder, log, endpoint)
	endpoint = checkHeaders(endpoint)
	endpoint = limitMessages(log, endpoint)
	endpoint = guard.Protect(endpoint)
	// Pages of other origins may not call (MCP, streamable HTTP, security
	// warning). Programs that are not browsers send no Origin.
	endpoint = http.NewCrossOriginProtection().Handler(endpoint)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz(revoked))
	mux.Handle("/{$}", endpoint)
	return mux
}
