package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"demo.example/services/internal/ids"
)

// RequestIDHeader carries the id that joins the log lines of one request
// along the chain. The gateway makes it; the services behind it keep it.
const RequestIDHeader = "X-Request-Id"

type requestIDKey struct{}

// requestID is what the services accept from one another: nothing that could
// break a log line.
var requestID = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)

// RequestID returns the id of the request that ctx belongs to, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// WithRequestID returns a context that belongs to the request called id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// Wrap gives a handler what every service needs around it: a request id, a
// log line, and an answer when it panics. Only a service that nobody outside
// can reach may trust an id that it is sent.
func Wrap(h http.Handler, log *slog.Logger, trustRequestID bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := r.Header.Get(RequestIDHeader)
		if !trustRequestID || !requestID.MatchString(id) {
			id = ids.New(start)
		}
		r = r.WithContext(WithRequestID(r.Context(), id))
		rec := &recorder{ResponseWriter: w}
		rec.Header().Set(RequestIDHeader, id)
		defer func() {
			p := recover()
			err, _ := p.(error)
			aborted := errors.Is(err, http.ErrAbortHandler) // by a proxy whose client or service hung up
			if p != nil && !aborted {
				log.Error("panic", "request_id", id, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					http.Error(rec, "Something went wrong here. Quote request id "+id+".", http.StatusInternalServerError)
				}
			}
			if rec.status == 0 {
				rec.status = http.StatusOK // what net/http answers for a handler that wrote nothing
			}
			if r.URL.Path == "/healthz" && rec.status == http.StatusOK {
				return // one every few seconds says nothing
			}
			// The query is left out: an authorization request's is the
			// client's business, and a careless client puts tokens there.
			attrs := []any{"request_id", id, "method", r.Method, "host", r.Host, "path", r.URL.Path,
				"status", rec.status, "bytes", rec.bytes, "duration_ms", float64(time.Since(start).Microseconds()) / 1000}
			if aborted {
				attrs = append(attrs, "aborted", true)
			}
			log.Info("request", attrs...)
			if aborted {
				panic(p) // net/http cuts the connection
			}
		}()
		h.ServeHTTP(rec, r)
	})
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach Flush and deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush is here because older streaming code asks for http.Flusher.
func (r *recorder) Flush() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// Transport sends the id of the request that a call belongs to along with it.
type Transport struct{ Base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if id := RequestID(r.Context()); id != "" {
		r = r.Clone(r.Context())
		r.Header.Set(RequestIDHeader, id)
	}
	return t.Base.RoundTrip(r)
}

// NewClient returns a client for calls to another service. It follows no
// redirect: that would carry a token, or the caller's own credentials, to where
// nobody configured it.
func NewClient(base http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     Transport{Base: base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
