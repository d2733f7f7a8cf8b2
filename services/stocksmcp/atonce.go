package stocksmcp

import (
	"log/slog"
	"net/http"
	"time"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/problem"
)

// messagesAtOnce is how many messages are handled at a time. Each is held for
// as long as its call takes. The largest that are let in, of
// httpserver.MaxMessage bytes and maxTokens tokens, were measured to hold
// 0.35 MB each, so that these take 45 MB of the 100 MiB of GOMEMLIMIT
// (compose.yaml): what is left is for connections and for garbage. One user has
// half of the places at most: the gateway sees to it.
const messagesAtOnce = 128

// limitMessages answers 503 to what comes while there are as many messages as
// may be. To wait would hold memory as well.
func limitMessages(log *slog.Logger, next http.Handler) http.Handler {
	slots := make(chan struct{}, messagesAtOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			log.Warn("refused", "request_id", httpserver.RequestID(r.Context()), "reason", "as many messages as may be are handled")
			problem.Write(w, r, &problem.Details{
				Status: http.StatusServiceUnavailable, Title: "Busy", RetryAfter: time.Second,
				Detail: "The MCP server has as many messages as it can take right now. Try again in a second.",
			})
		}
	})
}
