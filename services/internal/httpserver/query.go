package httpserver

import "strings"

// MaxMessage bounds the body of a request to the MCP server, at the gateway and
// at the server itself, and to the API, in bytes. The largest that a tool has use
// for is some 2 kB.
const MaxMessage = 64 << 10

// Limits of a request's query: far above what any client of ours sends. The
// gateway refuses what is beyond them, so no service may send a browser to such
// an address.
const (
	MaxQuery  = 8 << 10 // bytes
	MaxParams = 200
)

// QueryFits reports whether an encoded query is within the limits.
func QueryFits(query string) bool {
	return len(query) <= MaxQuery && strings.Count(query, "&") < MaxParams
}
