package gateway

import (
	"log/slog"
	"net/http"
	"slices"

	"demo.example/services/internal/problem"
)

// What MCP clients that run in a browser send and read.
const (
	corsMethods = "GET, POST, DELETE"
	corsHeaders = "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, Last-Event-ID, Mcp-Method, Mcp-Name, DPoP, Idempotency-Key"
	corsExposed = "WWW-Authenticate, Mcp-Session-Id, DPoP-Nonce, RateLimit, RateLimit-Policy, Retry-After"
	corsMaxAge  = "600" // seconds
)

// crossOrigin lets the pages of the given origins use a resource and refuses
// all others, as MCP demands of a server on a developer's machine. Programs
// send no Origin and pass. It never allows credentials: a page brings its own
// access token, and no cookie counts here.
func crossOrigin(allowed []string, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origins := r.Header["Origin"]
		if len(origins) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if len(origins) > 1 || !slices.Contains(allowed, origins[0]) {
			log.Info("token", "request_id", requestID(r), "decision", "deny", "reason", "foreign origin")
			refuseOrigin(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origins[0])
		h.Set("Access-Control-Expose-Headers", corsExposed)
		if isPreflight(r) {
			h.Set("Access-Control-Allow-Methods", corsMethods)
			h.Set("Access-Control-Allow-Headers", corsHeaders)
			h.Set("Access-Control-Max-Age", corsMaxAge)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isPreflight reports whether a browser asks before it sends the request that
// the page wants (Fetch §3.2.2). It carries no token.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// sameOrigin keeps the pages of other sites from reading what is behind it,
// through fetch as through WebSocket, which no same-origin policy covers.
// Following a link there is allowed.
func sameOrigin(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, o := range r.Header["Origin"] {
			if o != origin {
				refuseOrigin(w, r)
				return
			}
		}
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "same-origin", "none":
		default:
			followed := r.Method == http.MethodGet &&
				r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
			if !followed {
				refuseOrigin(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func refuseOrigin(w http.ResponseWriter, r *http.Request) {
	problem.Write(w, r, &problem.Details{
		Status: http.StatusForbidden,
		Title:  "Foreign origin",
		Detail: "Pages of this origin may not call " + r.Host + ". For the MCP server and the API, ALLOWED_ORIGINS of the gateway lists those that may.",
	})
}
