package oauth

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Error is an OAuth error answer (RFC 6749 §5.2). Description is for the
// client's developer: it says what to do and carries no internal cause.
type Error struct {
	Code        string
	Description string
	Status      int           // HTTP status where the error is not sent by redirect
	RetryAfter  time.Duration // for outages and limits
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Description }

// The errors of RFC 6749 §4.1.2.1 and §5.2, RFC 8707 §2, RFC 7591 §3.2.2 and
// OpenID Connect Core §3.1.2.6 that this project sends.

func InvalidRequest(description string) *Error {
	return &Error{Code: "invalid_request", Description: description, Status: http.StatusBadRequest}
}

// InvalidClient is failed client authentication. What exactly failed is not
// said: it would tell an attacker which client ids exist.
func InvalidClient() *Error {
	return &Error{Code: "invalid_client", Description: "client authentication failed: check the client id, the secret or assertion, and the registered authentication method", Status: http.StatusUnauthorized}
}

func InvalidGrant(description string) *Error {
	return &Error{Code: "invalid_grant", Description: description, Status: http.StatusBadRequest}
}

func InvalidScope(description string) *Error {
	return &Error{Code: "invalid_scope", Description: description, Status: http.StatusBadRequest}
}

func InvalidTarget(description string) *Error {
	return &Error{Code: "invalid_target", Description: description, Status: http.StatusBadRequest}
}

func UnauthorizedClient(description string) *Error {
	return &Error{Code: "unauthorized_client", Description: description, Status: http.StatusBadRequest}
}

func AccessDenied(description string) *Error {
	return &Error{Code: "access_denied", Description: description, Status: http.StatusForbidden}
}

// Unavailable is an outage. It never looks like a refusal: the client keeps
// its tokens and tries again.
func Unavailable() *Error {
	return &Error{Code: "temporarily_unavailable", Description: "this cannot be answered right now; try again in a few seconds", Status: http.StatusServiceUnavailable, RetryAfter: 2 * time.Second}
}

// Write answers with the error as JSON.
func (e *Error) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="authorization server"`) // RFC 6749 §5.2
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds())))
	}
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": e.Code, "error_description": e.Description}) // a client that hung up cannot be told so
}
