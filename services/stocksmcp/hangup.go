package stocksmcp

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type hangupKey struct{}

// rememberConnection lets cancelOnHangup see the HTTP request.
func rememberConnection(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), hangupKey{}, r.Context())))
	})
}

// cancelOnHangup ends a call whose client hung up, and with it the calls to
// other services. The SDK does so in the newer era alone: in the older one a
// client may come back to a session for its answer. Here there are no sessions,
// so nobody could.
func cancelOnHangup(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if connection, ok := ctx.Value(hangupKey{}).(context.Context); ok {
			defer context.AfterFunc(connection, cancel)()
		}
		return next(ctx, method, req)
	}
}
