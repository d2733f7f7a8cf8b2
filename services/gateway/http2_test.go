package gateway

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is a connection on which anything can be said in HTTP/2, also what
// no client library sends.
type frames struct {
	*http2.Framer
	conn *tls.Conn
	text bytes.Buffer
	enc  *hpack.Encoder
}

func (d *deployment) frames(tb testing.TB) *frames {
	tb.Helper()
	conn := d.dial(tb, &tls.Config{NextProtos: []string{"h2"}})
	tb.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	f := &frames{Framer: http2.NewFramer(conn, conn), conn: conn}
	f.enc = hpack.NewEncoder(&f.text)
	f.AllowIllegalWrites = true
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		tb.Fatal(err)
	}
	if err := f.WriteSettings(); err != nil {
		tb.Fatal(err)
	}
	return f
}

// open begins a stream. fields are names and values, in turn.
func (f *frames) open(stream uint32, endStream bool, fields ...string) error {
	f.text.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := f.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			return err
		}
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.text.Bytes(), EndStream: endStream, EndHeaders: true})
}

// outcome returns the status of the answer to a stream, or zero when the
// stream or the connection was ended instead.
func (f *frames) outcome(tb testing.TB, stream uint32) int {
	tb.Helper()
	dec := hpack.NewDecoder(4096, nil)
	for {
		frame, err := f.ReadFrame()
		if errors.Is(err, io.EOF) {
			return 0
		}
		if err != nil {
			tb.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			fields, err := dec.DecodeFull(frame.HeaderBlockFragment())
			if err != nil {
				tb.Fatal(err)
			}
			if frame.StreamID == stream {
				status, _ := strconv.Atoi(fields[0].Value)
				return status
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == stream {
				return 0
			}
		case *http2.GoAwayFrame:
			return 0
		}
	}
}

// TestHTTP2BecomesOneRequest sends in HTTP/2, where lengths and line breaks
// mean nothing, what would be two requests or another one in HTTP/1.1, which
// the services speak.
func TestHTTP2BecomesOneRequest(t *testing.T) {
	d := start(t)
	const smuggled = "x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: login.demo.localhost:8443\r\n\r\n"
	request := func(replaced ...string) []string {
		fields := []string{":method", "POST", ":scheme", "https", ":authority", testSite.Host("login"), ":path", "/token"}
		for i := 0; i < len(replaced); i += 2 {
			found := false
			for j := 0; j < len(fields); j += 2 {
				if fields[j] == replaced[i] {
					fields[j+1], found = replaced[i+1], true
				}
			}
			if !found {
				fields = append(fields, replaced[i], replaced[i+1])
			}
		}
		return fields
	}
	tests := map[string]struct {
		fields []string
		body   string
	}{
		"G8 line break in a value":           {request("a", smuggled), ""},
		"G8 bare LF in a value":              {request("a", "b\nc: d"), ""},
		"G8 NUL in a value":                  {request("a", "b\x00c"), ""},
		"G8 line break in a name":            {request("a: b\r\nc", "d"), ""},
		"G8 colon in a name":                 {request("a:b", "c"), ""},
		"G8 space in a name":                 {request("a b", "c"), ""},
		"G8 line break in the path":          {request(":path", "/ HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled"), ""},
		"G8 space in the path":               {request(":path", "/smuggled HTTP/1.1"), ""},
		"G8 line break in the method":        {request(":method", "GET / HTTP/1.1\r\na: b\r\n\r\nGET"), ""},
		"G8 line break in the authority":     {request(":authority", "login.demo.localhost:8443\r\na: b"), ""},
		"G8 Transfer-Encoding":               {request("transfer-encoding", "chunked"), "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"},
		"G8 Connection":                      {request("connection", "x-request-id"), ""},
		"G8 fewer bytes than Content-Length": {request("content-length", "99"), "abc"},
		"G8 more bytes than Content-Length":  {request("content-length", "1"), "abc"},
		"G8 two lengths":                     {append(request("content-length", "3"), "content-length", "4"), "abc"},
		"G8 two paths":                       {append(request(), ":path", "/smuggled"), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := d.frames(t)
			if err := f.open(1, tt.body == "", tt.fields...); err != nil {
				t.Fatal(err)
			}
			if tt.body != "" {
				_ = f.WriteData(1, true, []byte(tt.body)) // the server may be gone already
			}
			if status := f.outcome(t, 1); status != 0 && status/100 != 4 {
				t.Errorf("got %d, want 4xx or that the stream is ended", status)
			}
			d.login.mu.Lock()
			bodies := d.login.bodies
			d.login.mu.Unlock()
			for i, r := range d.login.taken() {
				t.Errorf("the service saw %s %s with %q", r.Method, r.RequestURI, bodies[i])
			}
		})
	}
	t.Run("as it should be", func(t *testing.T) {
		f := d.frames(t)
		if err := f.open(1, false, request("content-length", "3")...); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteData(1, true, []byte("abc")); err != nil {
			t.Fatal(err)
		}
		if status := f.outcome(t, 1); status != http.StatusOK || len(d.login.taken()) != 1 {
			t.Errorf("got %d, want 200", status)
		}
	})
}

// TestHTTP2BodyThatEndsEarly is a body of fewer bytes than its length says, in
// front of a route that reads it: attack G8.
func TestHTTP2BodyThatEndsEarly(t *testing.T) {
	d := start(t)
	f := d.frames(t)
	if err := f.open(1, false, ":method", "POST", ":scheme", "https", ":authority", testSite.Host("mail"), ":path", "/x", "content-length", "5"); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteData(1, true, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	if status := f.outcome(t, 1); status != 0 && status/100 != 4 {
		t.Errorf("got %d, want 4xx or that the stream is ended", status)
	}
	if seen := d.mail.taken(); len(seen) != 0 {
		t.Errorf("the service took %d requests for whole", len(seen))
	}
	if strings.Contains(d.log.String(), `"state":"open"`) {
		t.Error("what the client did counts as a failure of the service")
	}
}

// resets opens streams and takes each back at once, as fast as the server
// allows (CVE-2023-44487, "rapid reset"). It returns how many it got to open.
func (f *frames) resets(streams int) int {
	go func() { _, _ = io.Copy(io.Discard, f.conn) }() // ends with the connection
	for i := range streams {
		stream := uint32(2*i + 1)
		if f.open(stream, true, ":method", "GET", ":scheme", "https", ":authority", testSite.Host("login"), ":path", fmt.Sprint("/register/", i)) != nil ||
			f.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
			return i // the server ended it
		}
	}
	return streams
}
