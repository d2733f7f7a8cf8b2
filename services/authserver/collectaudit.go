package authserver

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
)

// witnesses are the services behind the gateway that report what they decided,
// and what about. None can put words into another's mouth, and none can say
// that somebody signed in.
var witnesses = map[string][]audit.Kind{
	"gateway":   {audit.Access, audit.Lost},
	"stocksmcp": {audit.ToolCall, audit.Lost},
	"stocksapi": {audit.APIDecision, audit.Lost},
}

// collectAudit serves POST /audit: events of another service for the trail, as
// a JSON array. The answer comes once they are kept; sending them again is
// harmless.
func (s *server) collectAudit(c echo.Context) error {
	r := c.Request()
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return oauth.InvalidRequest("the body must be application/json")
	}
	service := clientOf(r.Context()).ID
	kinds, ok := witnesses[service]
	if !ok {
		return oauth.UnauthorizedClient("only the services of this deployment report events")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return oauth.InvalidRequest("the body is too large or incomplete")
	}
	events, err := readEvents(body, service, kinds, s.now())
	if err != nil {
		return oauth.InvalidRequest(err.Error())
	}
	if err := s.trail.Append(r.Context(), events...); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// Bounds of an event that another service reports.
const (
	maxID    = 64          // bytes of its id
	maxAhead = time.Minute // of a clock that is fast
)

// readEvents reads a service's events. Whose they are is what it
// authenticated as, whatever they say. They may be old, since a service keeps
// them while the trail is out of reach, and not of the future, which would
// outlive AUDIT_RETENTION.
func readEvents(body []byte, service string, kinds []audit.Kind, now time.Time) ([]audit.Event, error) {
	var events []audit.Event
	if err := json.Unmarshal(body, &events); err != nil {
		return nil, errors.New("the body is not a JSON array of events")
	}
	for i := range events {
		events[i] = events[i].Bounded()
		e := &events[i]
		e.Service, e.Time = service, e.Time.UTC() // the one zone that the trail is searched in
		if e.Time.After(now.Add(maxAhead)) {
			e.Time = now.UTC()
		}
		switch {
		case e.ID == "" || len(e.ID) > maxID:
			return nil, errors.New("an event has no id, or a long one")
		case e.Time.IsZero() || e.Time.Year() < 2000:
			return nil, errors.New("an event has no time")
		case !slices.Contains(kinds, e.Kind):
			return nil, errors.New("an event is of a kind that this service cannot report")
		case e.Decision != audit.Allowed && e.Decision != audit.Refused && e.Decision != audit.Failed:
			return nil, errors.New("an event has no decision")
		}
	}
	return events, nil
}
