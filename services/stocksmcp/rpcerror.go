package stocksmcp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// writeRPCError answers a request, of which body is all that was read, with a
// JSON-RPC error.
func writeRPCError(w http.ResponseWriter, status int, body []byte, code int, message string, data any) {
	type rpcError struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { // a client that hung up cannot be told so
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   rpcError        `json:"error"`
	}{"2.0", requestID(body), rpcError{code, message, data}})
}

// requestID returns the id of a JSON-RPC request, which its answer must have
// as well, or null where there is none to be found (JSON-RPC 2.0 §5).
func requestID(body []byte) json.RawMessage {
	var request struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(body, &request) == nil && len(request.ID) > 0 && (request.ID[0] == '"' || isIntegerID(string(request.ID))) {
		return request.ID
	}
	return json.RawMessage("null")
}

// maxIntegerID bounds an id that is a number: the SDK reads it as a float64,
// in which not every larger one has a place, and would answer another.
const maxIntegerID = 1 << 53

// isIntegerID reports whether a JSON number may be an id.
func isIntegerID(number string) bool {
	n, err := strconv.ParseInt(number, 10, 64)
	return err == nil && -maxIntegerID <= n && n <= maxIntegerID
}

// rpcRefusals writes as JSON-RPC errors what the SDK refuses in plain text: it
// speaks JSON-RPC to clients of the newer era alone.
type rpcRefusals struct {
	http.ResponseWriter
	body    []byte // of the request
	refused bool   // and why is still to come
}

// unknownMethod is what the SDK's refusal of a method begins with.
const unknownMethod = "JSON RPC not handled"

// WriteHeader implements http.ResponseWriter.
func (w *rpcRefusals) WriteHeader(status int) {
	w.refused = status == http.StatusBadRequest && strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain")
	if !w.refused {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *rpcRefusals) Write(p []byte) (int, error) {
	if !w.refused {
		return w.ResponseWriter.Write(p)
	}
	status, code, why := http.StatusBadRequest, jsonrpc.CodeInvalidRequest, string(bytes.TrimSpace(p))
	if strings.HasPrefix(why, unknownMethod) {
		code = jsonrpc.CodeMethodNotFound
		// Clients of the older era read the answer to a request only where
		// its status is 200; 404 would say that a session is over.
		if string(requestID(w.body)) != "null" {
			status = http.StatusOK
		}
	}
	writeRPCError(w.ResponseWriter, status, w.body, code, why, nil)
	return len(p), nil
}

// Unwrap lets http.ResponseController reach Flush.
func (w *rpcRefusals) Unwrap() http.ResponseWriter { return w.ResponseWriter }
