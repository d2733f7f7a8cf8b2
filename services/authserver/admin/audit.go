package admin

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/store"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/audit"
)

// option is one of a list to choose from.
type option struct {
	Value, Name string
	Chosen      bool
}

func kindOptions(chosen audit.Kind) []option {
	out := make([]option, len(kinds))
	for i, k := range kinds {
		out[i] = option{string(k.Kind), k.Name, k.Kind == chosen}
	}
	return out
}

// filterFields are those of the form above the trail, as they were sent.
var filterFields = []string{"user", "client", "kind", "decision", "request", "grant", "since", "until"}

// formTime is how browsers write a moment in a form (datetime-local); it is
// taken for UTC, as all times here.
const formTime = "2006-01-02T15:04"

// audit serves GET /admin/audit: the trail, the newest first, filtered.
func (s *Server) audit(c echo.Context, v visitor) error {
	ctx := c.Request().Context()
	sent := map[string]string{}
	var pairs []string
	for _, name := range filterFields {
		sent[name] = strings.TrimSpace(c.QueryParam(name))
		pairs = append(pairs, name, sent[name])
	}
	filter, wrong, err := s.filter(ctx, sent)
	if err != nil {
		return err
	}
	filter.Before, _ = strconv.ParseInt(c.QueryParam("before"), 10, 64) // 0 is the first page
	filter.Limit = rows + 1
	var page []trail.Entry
	next := ""
	if wrong == "" {
		found, err := s.Trail.Search(ctx, filter)
		if err != nil {
			return err
		}
		var more bool
		if page, more = cut(found); more {
			next = link("/admin/audit", append(pairs, "before", strconv.FormatInt(page[len(page)-1].Seq, 10))...)
		}
	}
	return s.render(c, http.StatusOK, "audit", v, map[string]any{
		"Sent": sent, "Wrong": wrong, "Lines": s.lines(ctx, page), "Next": next, "Kinds": kindOptions(filter.Kind), "Head": s.Trail.Head(),
		"Decisions": []audit.Decision{audit.Allowed, audit.Refused, audit.Failed}, "Filtered": strings.Join(slices.Collect(maps.Values(sent)), "") != "",
	})
}

// filter reads the form. A user may be named by address. wrong says what cannot
// be understood.
func (s *Server) filter(ctx context.Context, sent map[string]string) (f trail.Filter, wrong string, err error) {
	f = trail.Filter{
		User: sent["user"], Client: sent["client"], Request: sent["request"], Grant: sent["grant"],
		Kind: audit.Kind(sent["kind"]), Decision: audit.Decision(sent["decision"]),
	}
	if strings.Contains(f.User, "@") {
		u, err := s.Login.UserByEmail(ctx, f.User)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return f, "There is no user with this address.", nil
		case err != nil:
			return f, "", err
		}
		f.User = u.ID
	}
	var ok1, ok2 bool
	f.Since, ok1 = parseTime(sent["since"])
	f.Until, ok2 = parseTime(sent["until"])
	if !ok1 || !ok2 {
		wrong = "Write a time like " + s.Now().UTC().Format(formTime) + " (UTC)."
	}
	return f, wrong, nil
}

// parseTime reads a time of the form; empty is none.
func parseTime(sent string) (time.Time, bool) {
	t, err := time.Parse(formTime, sent)
	return t, err == nil || sent == ""
}

// story serves GET /admin/audit/story: how one request came about, from
// sign-in and consent on, and what became of it.
func (s *Server) story(c echo.Context, v visitor) error {
	ctx := c.Request().Context()
	request := c.QueryParam("request")
	entries, err := s.Trail.Story(ctx, request)
	if err != nil {
		return err
	}
	if request == "" || len(entries) == 0 {
		return store.ErrNotFound
	}
	lines := s.lines(ctx, entries)
	return s.render(c, http.StatusOK, "story", v, map[string]any{"Request": request, "About": about(request, lines), "Lines": lines})
}

// about finds whose story it is: the first event of the request that knows the
// user, or else the first of all. Lines about the same need not repeat it.
func about(request string, lines []line) line {
	subject := lines[0]
	for i := range lines {
		lines[i].Own = lines[i].Request == request
		if l := lines[i]; l.Own && l.User != "" && (!subject.Own || subject.User == "" || subject.Grant == "") {
			subject = l
		}
	}
	for i, l := range lines {
		lines[i].Brief = l.User == subject.User && l.Client == subject.Client && (l.Grant == "" || l.Grant == subject.Grant)
		lines[i].Facts = lines[i].facts()
	}
	return subject
}
