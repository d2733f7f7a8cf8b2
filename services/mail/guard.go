package mail

import (
	"net/http"
	"strings"

	"demo.example/services/internal/problem"
	"demo.example/services/internal/site"
)

// guard lets requests through that are meant for the inbox and come from its
// own page, from an address bar or link, or from a program that is no browser.
// MailHog answers everybody, so without it any site that a developer visits
// could read passcodes.
func guard(s site.Site, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := refusal(s, r); why != "" {
			problem.Write(w, r, &problem.Details{
				Status: http.StatusForbidden,
				Title:  "Not allowed",
				Detail: why + " Open " + s.Origin("mail") + "/ in the browser, or call its API from a program.",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refusal returns why r is not let through, or "".
func refusal(s site.Site, r *http.Request) string {
	// A name of a stranger that resolves to this machine (DNS rebinding)
	// makes the stranger's page same-origin. The name gives it away.
	if !strings.EqualFold(r.Host, s.Host("mail")) {
		return "The inbox has another host name."
	}
	// Browsers send Origin (RFC 6454 §7) with every WebSocket handshake and
	// with every request that is not a plain GET.
	for _, origin := range r.Header.Values("Origin") {
		if origin != s.Origin("mail") {
			return "Another site's page may not use the inbox."
		}
	}
	// Fetch metadata tells about the requests that carry no Origin: images,
	// scripts, frames. A link to the inbox is fine, its page reads nothing.
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		if r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document" {
			return "Another site's page may not use the inbox."
		}
	}
	// MailHog has two more: POST …/release sends a mail to any host and port,
	// POST and PUT /api/v2/jim make it lose mails at random.
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return ""
	default:
		return "The inbox only shows and deletes mails."
	}
}
