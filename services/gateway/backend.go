package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"demo.example/services/internal/httpserver"
)

// When a service counts as down, and how soon one that is back is found. Open
// time and probe together stay below two seconds: that is how soon a service
// that is back serves everybody again.
const (
	failuresToOpen = 5
	openTime       = 500 * time.Millisecond
	probeTimeout   = time.Second
)

// userAtOnce is how many requests of one user are with a service at a time. An
// agent that calls tools side by side and waits for approvals has a dozen, and
// a user has several agents.
const userAtOnce = 64

// errBusy is a service that has as many requests as it may have.
var errBusy = errors.New("as many requests as it may have are at the service")

// isOverload reports whether err says that the service was not asked at all.
func isOverload(err error) bool {
	return errors.Is(err, errBusy) || errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}

// A backend is the way to one service. It keeps a service that is slow or
// down from holding up the others: so many requests are with it at most, from
// one user, client or network only a part of them (budget.go), and after a few
// failures in a row it is not asked at all until its health check answers again.
// Callers learn at once, instead of after a time-out.
//
// What counts as a failure is that no answer came. An answer of 503 is the
// service's own word, and better than ours.
type backend struct {
	next    *http.Transport
	health  string  // URL
	slots   *budget // one for each request that is with the service
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// newBackend returns the way to the service at the origin. The name is for
// the log.
func newBackend(name string, origin url.URL, concurrency int, transport *http.Transport, log *slog.Logger) *backend {
	b := &backend{
		next:   transport.Clone(),
		health: origin.JoinPath("healthz").String(),
		slots:  newBudget(concurrency, userAtOnce, errBusy),
	}
	b.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        name,
		Timeout:     openTime,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failuresToOpen },
		IsExcluded:  isClientsFault,
		OnStateChange: func(name string, _, to gobreaker.State) {
			log.Warn("upstream state", "upstream", name, "state", to.String())
			if to == gobreaker.StateOpen {
				b.next.CloseIdleConnections() // to a process that may be gone without having said so
			}
		},
	})
	return b
}

// isClientsFault reports whether a request failed for what its client did.
// That says nothing about the service. Hanging up is all that is left to do:
// what the client sends is here before the service is asked (route.bodyFirst).
func isClientsFault(err error) bool {
	return errors.Is(err, context.Canceled)
}

// RoundTrip implements http.RoundTripper.
func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	of := holders(r)
	if err := b.slots.take(1, of); err != nil {
		return nil, err
	}
	resp, err := b.ask(r)
	if err != nil {
		b.slots.giveBack(1, of)
		return nil, err
	}
	// The request is with the service until its answer is read to the end.
	h := &heldBody{ReadCloser: resp.Body, slots: b.slots, of: of}
	resp.Body = h
	if conn, ok := h.ReadCloser.(io.Writer); ok { // a WebSocket (httputil.ReverseProxy writes to the body)
		resp.Body = heldConn{h, conn}
	}
	return resp, nil
}

func (b *backend) ask(r *http.Request) (*http.Response, error) {
	// Nobody's request is the one to find out whether the service is back.
	if b.breaker.State() == gobreaker.StateHalfOpen {
		done, err := b.breaker.Allow()
		if err != nil {
			return nil, err
		}
		err = b.probe(r.Context())
		done(err)
		if err != nil {
			return nil, err
		}
	}
	done, err := b.breaker.Allow()
	if err != nil {
		return nil, err
	}
	resp, err := b.next.RoundTrip(r)
	if err != nil && errors.Is(r.Context().Err(), context.Canceled) {
		err = fmt.Errorf("%w: %w", context.Canceled, err) // however the transport puts it
	}
	done(err)
	return resp, err
}

// probe asks the service for its health. Any answer will do.
func (b *backend) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.health, nil)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	resp, err := httpserver.Transport{Base: b.next}.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return resp.Body.Close()
}

// heldBody gives the request's slot back when it is closed.
type heldBody struct {
	io.ReadCloser
	slots *budget
	of    [2]holder
	once  sync.Once
}

// Close implements io.Closer.
func (h *heldBody) Close() error {
	h.once.Do(func() { h.slots.giveBack(1, h.of) })
	return h.ReadCloser.Close()
}

// heldConn is a heldBody that is also written to.
type heldConn struct {
	*heldBody
	io.Writer
}
