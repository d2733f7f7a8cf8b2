package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"time"

	"demo.example/services/internal/dpop"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/mtls"
	"demo.example/services/internal/problem"
)

// answerTime is how long a service may take until its answer begins and, on
// routes without streams, until all of it was fetched and sent.
const answerTime = 30 * time.Second

// newTransport returns the connections to the services, which know the gateway
// by its identity. None of them is reached through a proxy, whatever the
// environment says.
func newTransport(identity *mtls.Identity) *http.Transport {
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		ResponseHeaderTimeout: answerTime, // a stream may then go on
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second, // below the services' own, so that we close first
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   256,
		DisableCompression:    true, // bodies pass as they are
	}
	identity.Secure(transport)
	return transport
}

// newProxy passes requests on to the service of rt.
func newProxy(rt route, transport http.RoundTripper, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:        rt.rewrite,
		ModifyResponse: rt.modifyResponse,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			rt.fail(w, r, err, log)
		},
		Transport:  transport, // answers of no known length, such as streams, are passed on as they come
		BufferPool: &buffers,
		ErrorLog:   slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// rewrite makes the request that the service sees. Hop-by-hop headers and
// those that the client listed in Connection are gone already.
func (rt route) rewrite(pr *httputil.ProxyRequest) {
	out := pr.Out
	pr.SetURL(&rt.Upstream)
	out.Host = pr.In.Host // services check that they are asked by their own name
	out.Trailer = nil

	h := out.Header
	stripClaims(h)
	h.Del("Expect") // the gateway itself told the client to go on
	if !rt.Private || !strings.EqualFold(h.Get("Upgrade"), "websocket") {
		h.Del("Upgrade")
		h.Del("Connection")
	}
	if !rt.Credentials {
		h.Del("Authorization")
		h.Del("Cookie")
	}
	if rt.Resource != nil {
		// The gateway has judged the page that asks; a service that judged
		// it again would refuse those of ALLOWED_ORIGINS.
		for _, name := range []string{"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User"} {
			h.Del(name)
		}
		h.Del(dpop.Header) // checked here, and good for nothing else
		if p, ok := phantomOf(pr.In.Context()); ok {
			h.Set("Authorization", "Bearer "+p.JWT)
		}
	}
	pr.SetXForwarded()
	h.Set(httpserver.RequestIDHeader, requestID(pr.In))
}

// requestID travels to the services, so that their log lines can be joined.
func requestID(r *http.Request) string { return httpserver.RequestID(r.Context()) }

// modifyResponse drops what is the gateway's to say, and what only tells an
// attacker something.
func (rt route) modifyResponse(resp *http.Response) error {
	h := resp.Header
	for _, name := range []string{
		"Server", "X-Powered-By", // which program, which version
		httpserver.RequestIDHeader, "Strict-Transport-Security", "X-Content-Type-Options", // set already
	} {
		h.Del(name)
	}
	if rt.Resource == nil {
		return nil
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	h.Del(dpop.NonceHeader)
	h.Del("RateLimit")
	h.Del("RateLimit-Policy")
	// An answer to one user must not reach another through a cache on the way.
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Add("Vary", "Authorization")
	return nil
}

// fail answers when the service could not be asked.
func (rt route) fail(w http.ResponseWriter, r *http.Request, err error, log *slog.Logger) {
	var body bodyError
	var large *http.MaxBytesError
	var share overShare
	switch {
	case errors.As(err, &share):
		log.Warn("upstream", "request_id", requestID(r), "upstream", rt.Upstream.Redacted(), "error", err)
		// Not 429: whoever asks at a steady pace has as many under way as soon
		// as the service is slow, or gone.
		problem.Write(w, r, &problem.Details{
			Status: http.StatusServiceUnavailable, Title: "Busy", RetryAfter: time.Second,
			Detail: "As many requests of this " + share.of() + " as may be are under way. Try again when one of them is answered.",
		})
	case errors.As(err, &large):
		problem.Write(w, r, tooLarge())
	case errors.As(err, &body) && errors.Is(err, os.ErrDeadlineExceeded):
		problem.Write(w, r, &problem.Details{
			Status: http.StatusRequestTimeout, Title: "Too slow", Detail: "The body of the request did not arrive in time.",
		})
	case errors.Is(r.Context().Err(), context.Canceled):
		// The client went away: nobody is there to answer.
	case errors.As(err, &body):
		problem.Write(w, r, &problem.Details{
			Status: http.StatusBadRequest, Title: "Bad request", Detail: "The body of the request cannot be read.",
		})
	case errors.Is(err, errBusy), errors.Is(err, errBodies):
		log.Warn("upstream", "request_id", requestID(r), "upstream", rt.Upstream.Redacted(), "error", err)
		problem.Write(w, r, &problem.Details{
			Status: http.StatusServiceUnavailable, Title: "Busy", RetryAfter: time.Second,
			Detail: "There are as many requests as can be taken right now. Try again in a second.",
		})
	case isOverload(err): // its failures were logged, and that it counts as down
		problem.Write(w, r, problem.Unavailable(rt.Service))
	default:
		log.Error("upstream", "request_id", requestID(r), "upstream", rt.Upstream.Redacted(), "error", err)
		problem.Write(w, r, problem.Unavailable(rt.Service))
	}
}

// bodiesAtOnce bounds the bodies of requests that are here at a time, in bytes.
const bodiesAtOnce = 16 << 20

// errBodies is a gateway that holds as many bodies as it may hold.
var errBodies = errors.New("as many bodies as it may hold are at the gateway")

// bodyFirst reads a request to its end before it is with the service: who sends
// slowly takes no slot there, and what they do counts as no failure of it
// (backend.go). Until it is answered its bytes count, from the first moment:
// who says that many will come, or does not say how many, gets no more room by
// sending them late.
func (rt route) bodyFirst(bodies *budget, next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		size, of := int(r.ContentLength), holders(r) // limitBody saw to the size
		if size < 0 {
			size = maxBody
		}
		if err := bodies.take(size, of); err != nil {
			rt.fail(w, r, err, log)
			return
		}
		defer func() { bodies.giveBack(size, of) }()
		body, err := readBody(r)
		if err != nil {
			rt.fail(w, r, err, log)
			return
		}
		bodies.giveBack(size-len(body), of)
		size = len(body)
		whole := *r
		whole.Body, whole.ContentLength, whole.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(size), nil
		next.ServeHTTP(w, &whole)
	})
}

// readBody reads all of a body, into no more memory than it said that it takes.
func readBody(r *http.Request) ([]byte, error) {
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := body.ReadFrom(r.Body)
	return body.Bytes(), err
}

// limitTime bounds how long an answer takes, for clients as for services:
// whoever reads slowly keeps a request at the service open.
func limitTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerTime)
		defer cancel()
		// net/http takes the deadline away again after the request. Errors
		// are those of a connection that is gone.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime + time.Second))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// limitWrites gives a client some time to take each part of an answer that may
// go on for as long as it likes: whoever takes nothing of it gets no more.
func limitWrites(patience time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limited := &limitedWriter{ResponseWriter: w, patience: patience}
		limited.late = time.AfterFunc(patience, limited.cut)
		limited.late.Stop()
		defer limited.end()
		next.ServeHTTP(limited, r)
	})
}

// A limitedWriter ends an answer when a single write takes too long. A deadline
// of the connection would not do: in HTTP/2 it ends a stream on which nothing
// was to be written as well.
type limitedWriter struct {
	http.ResponseWriter
	patience time.Duration
	late     *time.Timer // runs while something is written

	mu    sync.Mutex
	ended bool // the handler has, and net/http does not want to hear of it any more
}

// Write implements http.ResponseWriter.
func (l *limitedWriter) Write(p []byte) (int, error) {
	l.late.Reset(l.patience)
	defer l.late.Stop()
	return l.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController flushes with.
func (l *limitedWriter) FlushError() error {
	l.late.Reset(l.patience)
	defer l.late.Stop()
	return http.NewResponseController(l.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection of a WebSocket.
func (l *limitedWriter) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// cut fails the write that waits.
func (l *limitedWriter) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.deadline(time.Unix(1, 0))
	}
}

// end leaves net/http the same time for what it still holds of the answer.
func (l *limitedWriter) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.deadline(time.Now().Add(l.patience))
}

func (l *limitedWriter) deadline(at time.Time) {
	_ = http.NewResponseController(l.ResponseWriter).SetWriteDeadline(at) // fails for a connection that is gone
}

// buffers are lent to the proxies, which would otherwise allocate 32 kB for
// every answer.
var buffers bufferPool

type bufferPool struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *bufferPool) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (b *bufferPool) Put(p []byte) { b.pool.Put(&p) }
