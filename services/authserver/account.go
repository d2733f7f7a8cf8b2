package authserver

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/audit"
)

// What the account page shows at most: clients, with more behind a link,
// sessions, and lines of activity.
const (
	maxAccesses = 25
	maxSessions = 50
	maxActivity = 20
)

// notices say what a form of the account page did. The address holds the key
// alone, so that no link can put words on the page.
var notices = map[string]string{
	"access":   "Access was taken back. It ends now, wherever it was used.",
	"sessions": "You are signed out everywhere else.",
}

// sessionView is a session as its user knows it again.
type sessionView struct {
	Where, Since, Seen string
	Here               bool
}

// accessView is a client that has access.
type accessView struct {
	ID                 string
	Client             clientView
	Can                []string
	Since, Used, Until string
	Waiting            bool
	Calls              []call
}

// call is something that a client did in the user's name.
type call struct{ What, When, Refused string }

// accountChangesPerMinute is how often a user may press a button of the page:
// each is an event of the audit trail, which nobody may fill.
const accountChangesPerMinute = 60

// maxCalls is how many calls of each client the page shows, and maxReason how
// much of why one did not work, in characters.
const (
	maxCalls  = 3
	maxReason = 200
)

// activityView is a line of recent activity.
type activityView struct {
	at        time.Time
	Time, ISO string
	Text      string
}

// accountPage serves GET /account: who has access in the user's name, and how
// to take it back.
func (s *server) accountPage(c echo.Context) error {
	v, ok, err := s.visitor(c)
	if err != nil {
		return err
	}
	if !ok {
		return s.signInFirst(c, "/account", -1)
	}
	ctx := c.Request().Context()
	sessions, err := s.login.Sessions(ctx, v.User.ID, maxSessions)
	if err != nil {
		return err
	}
	var administering []store.Session
	if v.User.Role == store.RoleAdmin {
		if administering, err = s.login.AdminSessions(ctx, v.User.ID, maxSessions); err != nil {
			return err
		}
	}
	accesses, events, err := s.grants.Account(ctx, v.User.ID)
	if err != nil {
		return err
	}
	var decided []trail.Entry
	for _, kind := range []audit.Kind{audit.Consent, audit.ConsentWithdrawn} {
		found, err := s.trail.Search(ctx, trail.Filter{User: v.User.ID, Kind: kind, Decision: audit.Allowed, Limit: maxActivity})
		if err != nil {
			return fmt.Errorf("find what was decided: %w", err)
		}
		decided = append(decided, found...)
	}
	accesses, next := accessPage(accesses, c.QueryParam("after"))
	views := s.accessViews(accesses, v.User, administering)
	for i := range views {
		if views[i].Calls, err = s.calls(ctx, v.User.ID, views[i].ID); err != nil {
			return err
		}
	}
	activity, err := s.activity(ctx, sessions, events, decided)
	if err != nil {
		return err
	}
	return s.plain(c, "account", map[string]any{
		"Visitor": v, "Notice": notices[c.QueryParam("done")],
		"Sessions": sessionViews(sessions, administering, v), "Accesses": views, "Next": next, "Activity": activity,
	})
}

// changeAccount serves POST /account: access of a client is taken back, or all
// other sessions end.
func (s *server) changeAccount(c echo.Context) error {
	v, err := s.poster(c)
	if err != nil {
		return err
	}
	if wait := s.accountChanges.Take(v.User.ID); wait > 0 {
		return pageError{Status: http.StatusTooManyRequests, Title: "Too many changes", RetryAfter: wait, Text: "Nothing was changed this time. Wait a minute, then try again."}
	}
	ctx := c.Request().Context()
	var done string
	switch client := c.FormValue("client"); c.FormValue("action") {
	case "take back":
		done, err = "access", s.grants.RevokeConsent(ctx, v.User.ID, client)
		s.log.InfoContext(ctx, "access taken back", "sub", v.User.ID, "client_id", client)
	case "sign out others":
		e := audit.On(ctx)
		e.Kind, e.User, e.Detail = audit.SignOut, v.User.ID, map[string]string{"sessions": "all others"}
		done, err = "sessions", s.login.SignOutOthers(ctx, v.Session)
	default:
		return pageError{Status: http.StatusBadRequest, Title: "Nothing was changed", Text: "Go back and choose what to do."}
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/account?done="+done)
}

func sessionViews(sessions []store.NamedSession, administering []store.Session, v visitor) []sessionView {
	var out []sessionView
	for _, sess := range sessions {
		out = append(out, sessionView{Where: where(sess), Since: moment(sess.AuthTime), Seen: moment(sess.LastSeen), Here: sess.ID == v.Session.ID})
	}
	for _, sess := range administering {
		out = append(out, sessionView{Where: "the administration", Since: moment(sess.AuthTime), Seen: moment(sess.LastSeen)})
	}
	return out
}

// where says where a session began.
func where(sess store.NamedSession) string {
	if sess.Browser == "" {
		return "a browser"
	}
	return sess.Browser + ", from " + sess.Address
}

// accessPage returns the clients that come after one of them, or the first, and
// the address of those after these.
func accessPage(accesses []grants.ClientAccess, after string) (page []grants.ClientAccess, next string) {
	rest := accesses[1+slices.IndexFunc(accesses, func(a grants.ClientAccess) bool { return a.Client.ID == after }):]
	page = rest[:min(len(rest), maxAccesses)]
	if len(page) < len(rest) {
		next = "/account?" + url.Values{"after": {page[len(page)-1].Client.ID}}.Encode()
	}
	return page, next
}

func (s *server) accessViews(accesses []grants.ClientAccess, u store.User, administering []store.Session) []accessView {
	var out []accessView
	for _, a := range accesses {
		if a.Client.ID == clients.Administration { // it knows its users without a token
			for _, sess := range administering {
				a.Waiting = false
				a.UsedAt, a.Until = latest(a.UsedAt, sess.LastSeen), latest(a.Until, sess.ExpiresAt)
			}
		}
		out = append(out, accessView{
			ID: a.Client.ID, Client: s.viewOf(a.Client, ""), Can: abilities(a.Client, a.Scope, u),
			Since: moment(a.Since), Used: moment(a.UsedAt), Until: moment(a.Until), Waiting: a.Waiting,
		})
	}
	return out
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// calls returns what a client called last in the name of a user, by what the
// services recorded: tools of the MCP server, or the API itself.
func (s *server) calls(ctx context.Context, user, client string) ([]call, error) {
	found, err := s.trail.Search(ctx, trail.Filter{User: user, Client: client, Kind: audit.ToolCall, Limit: maxCalls})
	if err == nil && len(found) == 0 {
		found, err = s.trail.Search(ctx, trail.Filter{User: user, Client: client, Kind: audit.APIDecision, Limit: maxCalls})
	}
	if err != nil {
		return nil, fmt.Errorf("find calls: %w", err)
	}
	var out []call
	for _, e := range found {
		// A client may call what does not exist, by a name that says something.
		c := call{What: shortName(login.PlainName(cmp.Or(e.Detail["tool"], e.Detail["resource"], e.Detail["operation"], "a call"))), When: moment(e.Time)}
		if e.Decision != audit.Allowed {
			c.Refused = "no reason was noted"
			if e.Reason != "" {
				c.Refused = shortened(login.PlainName(e.Reason), maxReason)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// activity merges what the store and the audit trail have into lines, the
// newest first.
func (s *server) activity(ctx context.Context, sessions []store.NamedSession, events []grants.Event, decided []trail.Entry) ([]activityView, error) {
	ids := make([]string, len(decided))
	for i, e := range decided {
		ids[i] = e.Client
	}
	known, err := s.clients.LookupAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	var out []activityView
	add := func(at time.Time, text string) {
		out = append(out, activityView{at: at, Time: moment(at), ISO: at.UTC().Format(time.RFC3339), Text: text})
	}
	for _, sess := range sessions {
		add(sess.AuthTime, "You signed in: "+where(sess)+".")
	}
	for _, e := range events {
		name := s.viewOf(e.Client, "").Name
		switch e.Kind {
		case grants.EventApproved:
			add(e.At, "You approved an order of "+name+": "+e.Order+".")
		case grants.EventDeclined:
			add(e.At, "You declined an order of "+name+": "+e.Order+".")
		}
	}
	for _, e := range decided {
		name := "a client that is gone"
		if c, ok := known[e.Client]; ok {
			name = s.viewOf(c, "").Name
		}
		if e.Kind == audit.ConsentWithdrawn {
			add(e.Time, "You took access back from "+name+".")
			continue
		}
		if then := e.Detail[calledItself]; then != "" { // it may have another name by now
			name = shortName(login.PlainName(then))
		}
		add(e.Time, "You gave "+name+" access.")
	}
	slices.SortStableFunc(out, func(a, b activityView) int { return b.at.Compare(a.at) })
	return out[:min(len(out), maxActivity)], nil
}

// moment writes a time. The server does not know where its visitor is, so it
// says which time it means.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006, 15:04 MST")
}
