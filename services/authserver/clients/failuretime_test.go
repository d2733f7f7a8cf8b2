package clients

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrip is a host of client documents.
type roundTrip func() (*http.Response, error)

func (f roundTrip) RoundTrip(*http.Request) (*http.Response, error) { return f() }

// TestFailuresTakeOneTime: attack D17. Whatever is at an address, and be it
// nothing, failing takes the same time.
func TestFailuresTakeOneTime(t *testing.T) {
	for name, host := range map[string]roundTrip{
		"refused":   func() (*http.Response, error) { return nil, errors.New("connection refused") },
		"forbidden": func() (*http.Response, error) { return nil, errForbiddenAddress },
		"TLS error": func() (*http.Response, error) { time.Sleep(30 * time.Millisecond); return nil, errors.New("tls") },
		"404": func() (*http.Response, error) {
			time.Sleep(50 * time.Millisecond)
			return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody}, nil
		},
		"not a document": func() (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader("[]"))}, nil
		},
		"filtered": func() (*http.Response, error) {
			time.Sleep(dialTime)
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := NewDocuments(&http.Client{Transport: host}, time.Now)
				d.FailureTime = FailureTime
				start := time.Now()
				if _, err := d.Get(t.Context(), "https://app.example/client.json"); err == nil {
					t.Error("no error")
				}
				if took := time.Since(start); took != FailureTime {
					t.Errorf("it took %v, want %v", took, FailureTime)
				}
			})
		})
	}
}
