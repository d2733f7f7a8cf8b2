package admin

import (
	"cmp"
	"context"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"demo.example/services/authserver/trail"
	"demo.example/services/internal/audit"
)

// kinds are the events that there are, in words, in the order in which they
// follow one another.
var kinds = []struct {
	Kind audit.Kind
	Name string
}{
	{audit.ClientRegistered, "Client registered"},
	{audit.ClientChanged, "Client changed its registration"},
	{audit.ClientDeleted, "Client deleted its registration"},
	{audit.ClientRefused, "Client proved who it is"},
	{audit.Authorization, "Authorization request"},
	{audit.PasscodeSent, "Passcode asked for"},
	{audit.SignIn, "Sign-in"},
	{audit.SignOut, "Sign-out"},
	{audit.Consent, "Consent"},
	{audit.ConsentWithdrawn, "Consent withdrawn"},
	{audit.TokenIssued, "Token issued"},
	{audit.TokenExchanged, "Token exchanged"},
	{audit.TokenRevoked, "Token revoked"},
	{audit.TokenReused, "Code or token came again"},
	{audit.OrderApproval, "Order put to the user"},
	{audit.Access, "Token judged at the gateway"},
	{audit.ToolCall, "Tool called"},
	{audit.APIDecision, "Decision of the stocks API"},
	{audit.Administration, "Administration"},
	{audit.Lost, "Events lost"},
}

func nameOf(kind audit.Kind) string {
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
	When           string // and where it happened, and its number in the trail
	Who            string
	By             Description // the client; without a name for none
	User, Client   string      // ids, to follow
	Grant, Request string
	details        []fact
	Facts          template.HTML // all of them, and links

	Own   bool // of the request whose story is told
	Brief bool // user, client and access are said elsewhere on the page
}

// services that report what they do, in words.
var services = map[string]string{
	"authserver": "authorization server", "gateway": "gateway", "stocksmcp": "MCP server", "stocksapi": "stocks API",
}

// fact is one of the details of an event, which can lead somewhere.
type fact struct {
	Name, Value string
	Full        string // when Value is short for it
	Link        string
}

// facts writes the details of a line, next to one another. A template finds and
// escapes each text by reflection, which took half of the time of a page.
func (l line) facts() template.HTML {
	var facts []fact
	if !l.Brief {
		client := fact{Name: "client", Value: l.By.Name, Link: "/admin/audit?client=" + url.QueryEscape(l.Client)}
		if l.By.Cut {
			client.Full = l.By.FullName
		}
		facts = append(facts, fact{Name: "user", Value: l.Who, Link: "/admin/audit?user=" + url.QueryEscape(l.User)}, client)
	}
	facts = append(facts, l.details...)
	if !l.Brief && l.Grant != "" {
		facts = append(facts, fact{Value: "access", Link: "/admin/grants/grant?grant=" + url.QueryEscape(l.Grant)})
	}
	if !l.Own && l.Request != "" {
		facts = append(facts, fact{Value: "whole story", Link: "/admin/audit/story?request=" + url.QueryEscape(l.Request)})
	}
	var out strings.Builder
	out.Grow(1 << 10)
	for _, f := range facts {
		if f.Value != "" {
			f.writeHTML(&out)
		}
	}
	return template.HTML(out.String()) // writeHTML escapes every text
}

func (f fact) writeHTML(out *strings.Builder) {
	write := func(before, text, after string) {
		if text != "" {
			out.WriteString(before)
			out.WriteString(template.HTMLEscapeString(text))
			out.WriteString(after)
		}
	}
	out.WriteString("<span>")
	write(`<span class="hint">`, f.Name, "</span> ")
	write(`<a href="`, f.Link, `">`)
	out.WriteString("<bdi")
	write(` title="`, f.Full, `"`)
	write(">", f.Value, "</bdi>")
	if f.Link != "" {
		out.WriteString("</a>")
	}
	out.WriteString("</span>\n")
}

func (s *Server) lines(ctx context.Context, entries []trail.Entry) []line {
	var users, clients []string
	for _, e := range entries {
		users, clients = append(users, e.User), append(clients, e.Client)
		if e.Kind == audit.Administration {
			users = append(users, e.Detail["user"])
		}
	}
	names := s.names(ctx, users, clients)
	out := make([]line, 0, len(entries))
	for _, e := range entries {
		l := line{
			What: nameOf(e.Kind), Decision: string(e.Decision), Good: e.Decision == audit.Allowed, Reason: inert(e.Reason),
			When: second(e.Time) + ", " + cmp.Or(services[e.Service], e.Service) + ", number " + strconv.FormatInt(e.Seq, 10),
			Who:  inert(names.user(e.User)), User: e.User, Client: e.Client, Grant: e.Grant, Request: e.Request,
		}
		if e.Client != "" {
			l.By = names.client(e.Client)
		}
		add := func(name, value string) {
			l.details = append(l.details, fact{Name: inert(name), Value: inert(value)})
		}
		add("for", e.Audience)
		add("scope", e.Scope)
		add("through", strings.Join(e.Actors, ", for "))
		add("token", e.Token)
		for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
			switch value := e.Detail[k]; {
			case e.Kind == audit.Administration && k == "action":
				l.What += ": " + value
			case e.Kind == audit.Administration && k == "user":
				add("whom", names.user(value))
			case value != e.Reason:
				add(k, value)
			}
		}
		l.Facts = l.facts()
		out = append(out, l)
	}
	return out
}
