package stocksmcp

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/problem"
)

// checkHeaders adds what the SDK's handler lacks of the specification of
// 2026-07-28:
//   - a version of the older era that does not exist is answered with
//     -32022 and the versions that do, not with plain text;
//   - a header that names the version, method or tool twice is a mismatch
//     with the body, whichever value the SDK would read;
//   - Mcp-Session-Id and Last-Event-ID are ignored, not refused;
//   - a method other than POST is refused as such, whatever else it has.
func checkHeaders(next http.Handler) http.Handler {
	versions := mcp.SupportedProtocolVersions()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			problem.Write(w, r, &problem.Details{
				Status: http.StatusMethodNotAllowed,
				Title:  "Method not allowed",
				Detail: "Send MCP messages with POST.",
			})
			return
		}
		for _, name := range []string{"Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"} {
			if len(r.Header[name]) > 1 {
				writeRPCError(w, r, mcp.CodeHeaderMismatch, name+" is there more than once", nil)
				return
			}
		}
		version := r.Header.Get("Mcp-Protocol-Version")
		if version != "" && !slices.Contains(versions, version) {
			writeRPCError(w, r, mcp.CodeUnsupportedProtocolVersion, "unsupported protocol version",
				mcp.UnsupportedProtocolVersionData{Supported: versions, Requested: version})
			return
		}
		r.Header.Del("Mcp-Session-Id")
		r.Header.Del("Last-Event-Id")
		next.ServeHTTP(w, r)
	})
}

// writeRPCError answers 400 with a JSON-RPC error.
func writeRPCError(w http.ResponseWriter, r *http.Request, code int, message string, data any) {
	type rpcError struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	}
	w.Header().Set("Content-Type", "application/json")
	id := requestID(http.MaxBytesReader(w, r.Body, httpserver.MaxMessage))
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(struct { // a client that hung up cannot be told so
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   rpcError        `json:"error"`
	}{"2.0", id, rpcError{code, message, data}})
}

// requestID returns the id of a JSON-RPC request, which its answer must have
// as well, or null where there is none to be found (JSON-RPC 2.0 §5).
func requestID(body io.Reader) json.RawMessage {
	var request struct {
		ID json.RawMessage `json:"id"`
	}
	if json.NewDecoder(body).Decode(&request) == nil && len(request.ID) > 0 && strings.IndexByte(`"-0123456789`, request.ID[0]) >= 0 {
		return request.ID
	}
	return json.RawMessage("null")
}
