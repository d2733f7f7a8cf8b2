package stocksmcp

import (
	"io"
	"net/http"
	"slices"

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
		refuse := func(code int, why string, data any) {
			body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, httpserver.MaxMessage)) // what did not arrive has no id
			writeRPCError(w, http.StatusBadRequest, body, code, why, data)
		}
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
				refuse(mcp.CodeHeaderMismatch, name+" is there more than once", nil)
				return
			}
		}
		version := r.Header.Get("Mcp-Protocol-Version")
		if version != "" && !slices.Contains(versions, version) {
			refuse(mcp.CodeUnsupportedProtocolVersion, "unsupported protocol version",
				mcp.UnsupportedProtocolVersionData{Supported: versions, Requested: version})
			return
		}
		r.Header.Del("Mcp-Session-Id")
		r.Header.Del("Last-Event-Id")
		next.ServeHTTP(w, r)
	})
}
