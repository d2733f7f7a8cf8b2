// Package revocation is how the services learn within a moment that something
// ended at the authorization server, although they remember its answers for
// longer than that.
//
// The authorization server says what ended on a stream (event.go). A Follower
// reads it (follower.go) and tells a Watch (watch.go), which knows whether an
// answer that a cache holds may still be used. Start with Watch.
package revocation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Heartbeat is how often the authorization server writes something into a
// stream on which nothing happens.
const Heartbeat = 250 * time.Millisecond

// Kind is what an event is about.
type Kind string

// The kinds of event, and what their id is.
const (
	Token  Kind = "token"  // jti of the JWT behind an opaque token
	Grant  Kind = "grant"  // grant_id
	User   Kind = "user"   // sub
	Client Kind = "client" // client_id
)

// Event says that what was known about something is not to be used any more.
// Nearly always it ended, but an event may be about more than that did: whoever
// asks again gets the truth.
type Event struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

// maxLine bounds a line of a stream, in bytes. A client_id may be a URL.
const maxLine = 16 << 10

// Beat writes a heartbeat: a comment (HTML standard, §9.2.6, server-sent
// events).
func Beat(w io.Writer) error {
	_, err := io.WriteString(w, ":\n\n")
	return err
}

// Write writes the event as one server-sent event.
func (e Event) Write(w io.Writer) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "data: %s\n\n", raw)
	return err
}

// Parse reads one line of a stream. ok is false for one that only shows that
// the stream is alive. What cannot be read may be a revocation that was missed,
// hence an error, after which the stream is not to be trusted.
func Parse(line string) (e Event, ok bool, err error) {
	if line == "" || line[0] == ':' {
		return e, false, nil
	}
	data, ok := strings.CutPrefix(line, "data:")
	if !ok {
		return e, false, errors.New("a line is neither an event nor a comment")
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return Event{}, false, errors.New("an event is not a JSON object of kind and id")
	}
	switch e.Kind {
	case Token, Grant, User, Client:
	default:
		return Event{}, false, errors.New("an event is of a kind that is not known here")
	}
	if e.ID == "" {
		return Event{}, false, errors.New("an event is about nothing")
	}
	return e, true, nil
}
