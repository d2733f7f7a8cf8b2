// Package record keeps the HTTP exchanges of a client, so that they can be
// shown. What it shows is redacted: a token or code appears as a fingerprint,
// by which a reader can tell that two are the same, and nothing more.
package record

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// maxBody bounds what is kept of each body, in bytes.
const maxBody = 64 << 10

// Exchange is one request and its response. Headers and bodies are as they
// were sent: redact before showing.
type Exchange struct {
	Request     *http.Request // its body is spent
	RequestBody []byte
	Status      int // zero when there was no response
	Header      http.Header
	Body        []byte // what has been read of it
}

// Transport records every exchange that it carries.
type Transport struct {
	Base http.RoundTripper

	mu        sync.Mutex
	exchanges []*Exchange
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	e := &Exchange{Request: req.Clone(req.Context())}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
		e.RequestBody = body[:min(len(body), maxBody)]
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	t.mu.Lock()
	t.exchanges = append(t.exchanges, e)
	t.mu.Unlock()

	resp, err := t.Base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	e.Status, e.Header = resp.StatusCode, resp.Header.Clone()
	t.mu.Unlock()
	resp.Body = &tee{ReadCloser: resp.Body, exchange: e, mu: &t.mu}
	return resp, nil
}

// Take returns the exchanges recorded since the last call, oldest first.
func (t *Transport) Take() []Exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := make([]Exchange, len(t.exchanges))
	for i, e := range t.exchanges {
		taken[i] = *e
		taken[i].Body = bytes.Clone(e.Body)
	}
	t.exchanges = nil
	return taken
}

// tee keeps what is read of a response body: a stream is recorded without
// being held up.
type tee struct {
	io.ReadCloser
	exchange *Exchange
	mu       *sync.Mutex // guards the exchange
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.mu.Lock()
	if room := maxBody - len(t.exchange.Body); room > 0 {
		t.exchange.Body = append(t.exchange.Body, p[:min(n, room)]...)
	}
	t.mu.Unlock()
	return n, err
}
