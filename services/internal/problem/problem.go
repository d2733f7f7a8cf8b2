// Package problem writes errors as problem details (RFC 9457), for the
// resources whose clients are programs.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"demo.example/services/internal/httpserver"
)

// Details is a problem as the client sees it: what went wrong and what to do
// next. It never carries an internal cause.
type Details struct {
	Status     int           // HTTP status
	Title      string        // short, the same for every occurrence
	Detail     string        // what to do next
	RetryAfter time.Duration // for 429 and 503; 0 leaves the header out

	Members map[string]string // further ones, which only this problem has (RFC 9457 §3.2)
}

// Error makes Details an error, for handlers that return one.
func (d *Details) Error() string { return d.Title + ": " + d.Detail }

// Unavailable is an outage of something behind this service (503). Clients
// must be able to tell it from a token that expired, so it never is a 401.
func Unavailable(what string) *Details {
	return &Details{
		Status:     http.StatusServiceUnavailable,
		Title:      "Temporarily unavailable",
		Detail:     what + " cannot be reached right now. Your sign-in is still good: try again in a few seconds.",
		RetryAfter: 2 * time.Second,
	}
}

// Write answers with the problem and the request's id.
func Write(w http.ResponseWriter, r *http.Request, d *Details) {
	if d.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(d.RetryAfter.Seconds())))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(d.Status)
	body, _ := json.Marshal(struct { // strings and a number always encode
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail,omitempty"`
		RequestID string `json:"request_id,omitempty"`
	}{"about:blank", d.Title, d.Status, d.Detail, httpserver.RequestID(r.Context())})
	if more, _ := json.Marshal(d.Members); len(d.Members) > 0 {
		body = append(append(body[:len(body)-1], ','), more[1:]...) // one object of two
	}
	_, _ = w.Write(append(body, '\n')) // a client that hung up cannot be told so
}
