package mail

import (
	"log/slog"
	"net/http"

	"demo.example/services/internal/site"
)

// routes is everything that the service answers over HTTP. SMTP is MailHog's
// own.
func routes(s site.Site, hog *mailhog, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", health{MailHog: hog, Log: log})
	mux.Handle("/", guard(s, newInbox(s, hog, log))) // MailHog's page, /api/v1 and /api/v2
	return mux
}
