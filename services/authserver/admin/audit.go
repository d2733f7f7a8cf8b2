package admin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/audit"
	"demo.example/services/authserver/store"
	service "demo.example/services/internal/audit"
)

// kinds are the events that there are, in words, in the order in which they
// follow one another.
var kinds = []struct {
	Kind service.Kind
	Name string
}{
	{service.ClientRegistered, "Client registered"},
	{service.ClientChanged, "Client changed its registration"},
	{service.ClientDeleted, "Client deleted its registration"},
	{service.ClientRefused, "Client proved who it is"},
	{service.Authorization, "Authorization request"},
	{service.PasscodeSent, "Passcode asked for"},
	{service.SignIn, "Sign-in"},
	{service.SignOut, "Sign-out"},
	{service.Consent, "Consent"},
	{service.ConsentWithdrawn, "Consent withdrawn"},
	{service.TokenIssued, "Token issued"},
	{service.TokenExchanged, "Token exchanged"},
	{service.TokenRevoked, "Token revoked"},
	{service.TokenReused, "Code or token came again"},
	{service.OrderApproval, "Order put to the user"},
	{service.Access, "Token judged at the gateway"},
	{service.ToolCall, "Tool called"},
	{service.APIDecision, "Decision of the stocks API"},
	{service.Administration, "Administration"},
	{service.Lost, "Events lost"},
}

// option is one of a list to choose from.
type option struct {
	Value, Name string
	Chosen      bool
}

func kindOptions(chosen service.Kind) []option {
	out := make([]option, len(kinds))
	for i, k := range kinds {
		out[i] = option{string(k.Kind), k.Name, k.Kind == chosen}
	}
	return out
}

func nameOf(kind service.Kind) string {
	for _, k := range kinds {
		if k.Kind == kind {
			return k.Name
		}
	}
	return string(kind)
}

// line is an event as a page shows it, in texts that are fit to be shown.
type line struct {
	What           string
	Decision       string
	Good           bool
	Reason         string
	Time, ISO      string
	Place          string // where it happened, and its number in the trail
	Who            string
	By             Description // the client; without a name for none
	Facts          []fact
	User, Client   string // ids, to follow
	Grant, Request string

	Own   bool // of the request whose story is told
	Brief bool // user, client and access are said elsewhere on the page
}

// services that report what they do, in words.
var services = map[string]string{
	"authserver": "authorization server", "gateway": "gateway", "stocksmcp": "MCP server", "stocksapi": "stocks API",
}

// fact is one of the details of an event.
type fact struct{ Name, Value string }

func (s *Server) lines(ctx context.Context, entries []audit.Entry) []line {
	var users, clients []string
	for _, e := range entries {
		users, clients = append(users, e.User), append(clients, e.Client)
		if e.Kind == service.Administration {
			users = append(users, e.Detail["user"])
		}
	}
	names := s.names(ctx, users, clients)
	var out []line
	for _, e := range entries {
		l := line{
			What: nameOf(e.Kind), Decision: string(e.Decision), Good: e.Decision == service.Allowed, Reason: inert(e.Reason),
			Time: second(e.Time), ISO: e.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"),
			Place: cmp.Or(services[e.Service], e.Service) + ", number " + strconv.FormatInt(e.Seq, 10),
			Who:   inert(names.user(e.User)), User: e.User, Client: e.Client, Grant: e.Grant, Request: e.Request,
		}
		if e.Client != "" {
			l.By = names.client(e.Client)
		}
		for _, f := range []fact{
			{"for", e.Audience}, {"scope", e.Scope}, {"through", strings.Join(e.Actors, ", for ")}, {"token", e.Token},
		} {
			if f.Value != "" {
				l.Facts = append(l.Facts, fact{f.Name, inert(f.Value)})
			}
		}
		for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
			value := e.Detail[k]
			switch {
			case e.Kind == service.Administration && k == "action":
				l.What += ": " + value
				continue
			case e.Kind == service.Administration && k == "user":
				k, value = "whom", names.user(value)
			}
			if value != "" && value != e.Reason {
				l.Facts = append(l.Facts, fact{inert(k), inert(value)})
			}
		}
		out = append(out, l)
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
	var page []audit.Entry
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
		"Decisions": []service.Decision{service.Allowed, service.Refused, service.Failed}, "Filtered": strings.Join(slices.Collect(maps.Values(sent)), "") != "",
	})
}

// filter reads the form. A user may be named by address. wrong says what cannot
// be understood.
func (s *Server) filter(ctx context.Context, sent map[string]string) (f audit.Filter, wrong string, err error) {
	f = audit.Filter{
		User: sent["user"], Client: sent["client"], Request: sent["request"], Grant: sent["grant"],
		Kind: service.Kind(sent["kind"]), Decision: service.Decision(sent["decision"]),
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
	}
	return subject
}
