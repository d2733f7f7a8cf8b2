package stocksmcp

import "net/http"

// healthz serves GET /healthz. The service is healthy once it listens: where
// the authorization server or the stocks API is out of reach it says so,
// request by request, and heals without a restart.
func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n")) // a client that hung up cannot be told so
}
