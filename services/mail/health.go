package mail

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// healthTime bounds both questions together: an answer later than this is as
// good as none.
const healthTime = 2 * time.Second

// health serves GET /healthz: 200 when mail can be sent to MailHog and read
// from it.
type health struct {
	MailHog *mailhog
	Log     *slog.Logger
}

// ServeHTTP implements http.Handler.
func (h health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTime)
	defer cancel()
	answer := struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}{Status: "ok"}
	status := http.StatusOK
	unavailable := func(reason string, err error) {
		status = http.StatusServiceUnavailable
		answer.Status, answer.Reason = "unavailable", reason
		h.Log.Warn("unhealthy", "reason", reason, "error", err)
	}
	if err := h.smtp(ctx); err != nil {
		unavailable("MailHog does not answer on SMTP", err)
	} else if err := h.api(ctx); err != nil {
		unavailable("MailHog's API does not answer", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // a client that hung up cannot be told so
}

// smtp waits for the greeting (RFC 5321 §3.1) and says goodbye.
func (h health) smtp(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", h.MailHog.SMTPAddr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	greeting, err := bufio.NewReader(io.LimitReader(conn, 1024)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if !strings.HasPrefix(greeting, "220") {
		return fmt.Errorf("greeting: got %.3q, want 220", greeting)
	}
	_, err = io.WriteString(conn, "QUIT\r\n")
	return err
}

func (h health) api(ctx context.Context) error {
	resp, err := h.MailHog.do(ctx, http.MethodGet, "/api/v2/messages?limit=1")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
