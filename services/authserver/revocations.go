package authserver

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/broadcast"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/revocation"
)

const (
	// maxRevocationStreams is how many there are at a time: replicas of the
	// services, and those of them that are gone without a word.
	maxRevocationStreams = 64
	// streamWriteTime is how long one write to a stream may take. A reader
	// that takes longer is cut off, and knows by that that it missed something.
	streamWriteTime = 500 * time.Millisecond
)

// revocations serves GET /revocations: what ends from now on, as server-sent
// events, until the reader hangs up. Package revocation is the other side.
func (s *server) revocations(c echo.Context) error {
	r := c.Request()
	if err := s.grants.MayReadRevocations(clientOf(r.Context())); err != nil {
		return err
	}
	sub, err := s.revoked.Subscribe() // before the answer begins: the reader relies on all that comes after
	if err != nil {
		return oauth.Unavailable()
	}
	defer sub.Close()
	stream := http.NewResponseController(c.Response())
	// The server's limit is for requests, and would take the stream for a slow one.
	if err := stream.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	defer func() { _ = stream.SetWriteDeadline(time.Time{}) }() // a connection that is broken is not used again
	write := func(part func(io.Writer) error) error {
		if err := stream.SetWriteDeadline(time.Now().Add(streamWriteTime)); err != nil {
			return err
		}
		if err := part(c.Response()); err != nil {
			return err
		}
		return stream.Flush()
	}

	c.Response().Header().Set(echo.HeaderContentType, revocation.MediaType)
	c.Response().WriteHeader(http.StatusOK)
	beat := time.NewTicker(revocation.Heartbeat)
	defer beat.Stop()
	for err = write(revocation.Beat); err == nil; {
		select {
		case <-r.Context().Done():
			return nil
		case <-sub.Over:
			return nil
		case e := <-sub.Events:
			err = write(e.Write)
		case <-beat.C:
			// Who hears the heartbeat relies on having heard all before it.
			err = write(func(w io.Writer) error { return beatAfterAll(sub, w) })
		}
	}
	return nil // the reader is gone, or does not keep up: there is nobody to tell
}

// errOver ends a stream of which events are missing.
var errOver = errors.New("the subscription is over")

// beatAfterAll writes the events that wait, and a heartbeat.
func beatAfterAll(sub *broadcast.Subscription, w io.Writer) error {
	for {
		select {
		case <-sub.Over:
			return errOver
		case e := <-sub.Events:
			if err := e.Write(w); err != nil {
				return err
			}
		default:
			return revocation.Beat(w)
		}
	}
}
