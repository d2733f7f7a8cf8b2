package stocksmcp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/problem"
	"demo.example/services/internal/token"
)

// tradeScopes are all that placing an order needs: a client that asks for the
// scopes of a challenge must not lose one that it has.
const tradeScopes = oauth.ScopeStocksRead + " " + oauth.ScopeStocksTrade

// scopesFor returns all scopes that an operation needs.
func scopesFor(op operation) string {
	if op.Method == "tools/call" && op.Name == placeOrderName {
		return tradeScopes
	}
	return oauth.ScopeStocksRead
}

// requireScopes lets a request through whose token has all scopes that its
// operation needs, and tells others to ask the user for them (step-up, MCP
// authorization; RFC 6750 §3.1).
//
// It stands in front of the SDK because a tool can no longer choose the HTTP
// status. What the operation is comes from the body alone: the header Mcp-Name
// means nothing in the older era. The tool checks once more.
func requireScopes(metadata string, recorder audit.Recorder, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims := token.ClaimsFrom(r.Context())
		log := log.With("request_id", httpserver.RequestID(r.Context()), "sub", claims.Subject, "client_id", claims.ClientID)
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, httpserver.MaxMessage))
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			log.Info("refused", "reason", tooLarge.Error())
			problem.Write(w, r, &problem.Details{
				Status: http.StatusRequestEntityTooLarge,
				Title:  "Too large",
				Detail: fmt.Sprintf("Send at most %d bytes.", tooLarge.Limit),
			})
			return
		}
		if err != nil {
			log.Info("refused", "reason", "the body did not arrive")
			problem.Write(w, r, &problem.Details{
				Status: http.StatusBadRequest,
				Title:  "Bad request",
				Detail: "The message did not arrive as a whole: send it again.",
			})
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		op, err := parseOperation(body)
		if err != nil {
			log.Info("refused", "reason", err.Error())
			code := jsonrpc.CodeInvalidRequest
			if errors.Is(err, errNotJSON) {
				code = jsonrpc.CodeParseError
			}
			writeRPCError(w, http.StatusBadRequest, body, code, err.Error(), nil)
			return
		}
		needed := scopesFor(op)
		for scope := range strings.SplitSeq(needed, " ") {
			if oauth.HasScope(claims.Scope, scope) {
				continue
			}
			challenge := oauth.Challenge{Error: "insufficient_scope", Scope: needed, ResourceMetadata: metadata}
			log.Info("refused", "error", challenge.Error, "method", op.Method, "reason", "scope "+scope+" is missing")
			event := audit.Of(claims, audit.ToolCall, audit.Refused, "scope "+scope+" is missing")
			event.Detail = map[string]string{"method": op.Method, "tool": op.Name}
			recorder.Record(r.Context(), event)
			w.Header().Set("WWW-Authenticate", challenge.String())
			problem.Write(w, r, &problem.Details{
				Status: http.StatusForbidden,
				Title:  "Insufficient scope",
				Detail: "Ask the user for the scopes " + needed + " and repeat the request with the new token.",
			})
			return
		}
		next.ServeHTTP(&rpcRefusals{ResponseWriter: w, body: body}, r)
	})
}
