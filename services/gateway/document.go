package gateway

import (
	"encoding/json"
	"net/http"
)

// jsonDocument is a public JSON document that never changes while the gateway
// runs. Any page may read it: it holds nothing that is not published.
type jsonDocument []byte

// newJSONDocument encodes v, a struct of strings.
func newJSONDocument(v any) jsonDocument {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // a type that JSON has no form for: a mistake in this package
	}
	return append(b, '\n')
}

// ServeHTTP implements http.Handler.
func (d jsonDocument) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(d)
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET, HEAD")
		h.Set("Access-Control-Allow-Headers", corsHeaders)
		h.Set("Access-Control-Max-Age", corsMaxAge)
		w.WriteHeader(http.StatusNoContent)
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}
