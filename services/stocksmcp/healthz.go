package stocksmcp

import (
	"io"
	"net/http"

	"demo.example/services/internal/revocation"
)

// healthz serves GET /healthz. The service is healthy once it listens: where
// the authorization server or the stocks API is out of reach it says so,
// request by request, and heals without a restart. Without revocations it works
// on too, with tokens that it exchanges anew each second.
func healthz(revoked *revocation.Watch) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"ok","revocations":"`+revoked.State()+`"}`+"\n") // a client that hung up cannot be told so
	}
}
