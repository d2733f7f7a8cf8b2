package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/problem"
)

// methods that any service here could answer. TRACE echoes headers, CONNECT
// makes a proxy of whoever obeys it.
var methods = map[string]bool{
	http.MethodGet: true, http.MethodHead: true, http.MethodPost: true, http.MethodPut: true,
	http.MethodPatch: true, http.MethodDelete: true, http.MethodOptions: true,
}

// transportSecurity keeps browsers from speaking plain HTTP to this host for a
// year (RFC 6797). Each of our hosts says so for itself: the names below the
// domain that are not ours may be somebody else's.
const transportSecurity = "max-age=31536000"

// guard refuses, before anything is decided, what two programs could read in
// two ways: the path that is authorized must be the path that is served.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", transportSecurity)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !methods[r.Method] {
			w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
			problem.Write(w, r, &problem.Details{
				Status: http.StatusMethodNotAllowed,
				Title:  "Method not allowed",
				Detail: "Use one of the methods in Allow.",
			})
			return
		}
		if err := checkTarget(r); err != nil {
			problem.Write(w, r, &problem.Details{
				Status: http.StatusBadRequest,
				Title:  "Bad request",
				Detail: "The request was refused: " + err.Error() + ".",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkTarget judges the request target as it was sent (RFC 9112 §3.2). Only
// the origin form is served.
func checkTarget(r *http.Request) error {
	if len(r.Header["Content-Length"]) > 1 { // in HTTP/2; net/http sees to HTTP/1.1
		return errors.New("the length is there twice")
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		return errors.New("the target must be a path")
	}
	if !httpserver.QueryFits(query) {
		return fmt.Errorf("the query is longer than %d bytes or %d parameters", httpserver.MaxQuery, httpserver.MaxParams)
	}
	return checkPath(path)
}

// checkPath refuses every path that a second look could turn into another
// one: encoded separators, dot segments, empty segments, matrix parameters.
func checkPath(raw string) error {
	path, err := url.PathUnescape(raw)
	if err != nil {
		return errors.New("the path is not well encoded")
	}
	if strings.Count(path, "/") != strings.Count(raw, "/") {
		return errors.New("the path has an encoded slash")
	}
	for _, c := range []byte(raw) {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return errors.New("the path has a character that must be encoded")
		}
	}
	for _, c := range []byte(path) {
		if c < ' ' || c == 0x7f || strings.IndexByte(`\;%`, c) >= 0 {
			return errors.New("the path has a character that is not served here")
		}
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		if segment == "." || segment == ".." || segment == "" && i < len(segments)-1 {
			return errors.New("the path has an empty or dot segment")
		}
	}
	return nil
}

// stripClaims removes every header by which a client could claim to be
// someone, or to come from elsewhere. No standard header that a service here
// reads begins with X- (RFC 6648), so all of those go; an underscore is what
// some servers cannot tell from a hyphen.
func stripClaims(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "X-") || strings.Contains(name, "_") {
			delete(h, name)
		}
	}
	for _, name := range []string{"Forwarded", "Remote-User", "Client-Ip", "True-Client-Ip"} {
		h.Del(name)
	}
}

// maxBody is what a request may bring, in bytes. The longest are an MCP client's
// messages, and the MCP server takes no more either.
const maxBody = httpserver.MaxMessage

// limitBody refuses requests with more than maxBody bytes of body, whether they
// say so (Content-Length) or not.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			problem.Write(w, r, tooLarge())
			return
		}
		if r.ContentLength != 0 {
			limited := *r
			limited.Body = requestBody{http.MaxBytesReader(w, r.Body, maxBody)}
			r = &limited
		}
		next.ServeHTTP(w, r)
	})
}

func tooLarge() *problem.Details {
	return &problem.Details{
		Status: http.StatusRequestEntityTooLarge,
		Title:  "Too large",
		Detail: fmt.Sprintf("Send at most %d bytes.", maxBody),
	}
}

// requestBody marks the errors of reading a request's body.
type requestBody struct{ io.ReadCloser }

// bodyError is a body that could not be read.
type bodyError struct{ error }

func (e bodyError) Unwrap() error { return e.error }

// Read implements io.Reader.
func (b requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = bodyError{err}
	}
	return n, err
}
