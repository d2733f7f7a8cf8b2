package admin

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// clientRow is a line of the list of clients, in texts that are fit to be shown.
type clientRow struct {
	ID         string // as it is shown
	Client     Description
	Suspended  bool
	Registered string // how, and when
	Proof      string // what it had to prove, and what that counts for
	Used       string
	Grants, Do template.HTML // links, to them and to what can be done
}

// clients serves GET /admin/clients: on the first page the reviewed ones too.
func (s *Server) clients(c echo.Context, v visitor) error {
	ctx := c.Request().Context()
	before, _ := strconv.ParseInt(c.QueryParam("before"), 10, 64) // 0 is the first page
	found, err := s.Clients.Overviews(ctx, before, rows+1)
	if err != nil {
		return err
	}
	page, more := cut(found)
	next := ""
	if more {
		next = link("/admin/clients", "before", strconv.FormatInt(page[len(page)-1].Place, 10))
	}
	var reviewed []store.ClientOverview
	if before == 0 {
		if reviewed, err = s.Clients.Reviewed(ctx); err != nil {
			return err
		}
	}
	used := s.Grants.RecentUses()
	return s.render(c, http.StatusOK, "clients", v, map[string]any{"Reviewed": s.clientRows(reviewed, used), "Others": s.clientRows(page, used), "Next": next})
}

// assured says what a client had to prove.
var assured = map[int]string{
	clients.AssuranceNone:   "Proves nothing: anybody can be it",
	clients.AssuranceDomain: "Proved a web domain",
	clients.AssuranceKey:    "Proves a key, whenever it asks for a token",
}

func (s *Server) clientRows(list []store.ClientOverview, used map[string]time.Time) []clientRow {
	var out []clientRow
	for _, c := range list {
		if recent := used[c.ID]; recent.After(c.UsedAt) {
			c.UsedAt = recent
		}
		row := clientRow{
			ID: inert(c.ID), Client: s.Describe(c.Client), Suspended: c.Suspended,
			Registered: "by itself, " + moment(c.CreatedAt), Used: moment(c.UsedAt),
		}
		reviewed, protected := c.Registration == store.RegisteredByReview, clients.IsProtected(c.Client)
		name, id := row.Client.Name+", "+row.ID, url.QueryEscape(c.ID) // others may have the same name
		count := plural(c.Grants, "grant")
		row.Grants = anchor("/admin/grants?client="+id, count, count+" of "+name)
		offer := func(can bool, action, text string) {
			if can {
				row.Do += anchor("/admin/clients/change?action="+action+"&client="+id, text, text+" "+name)
			}
		}
		offer(!c.Suspended && !(reviewed && protected), "suspend", "Suspend")
		offer(c.Suspended, "restore", "Let in")
		offer(!reviewed && !(c.Suspended && c.Registration == store.RegisteredByDocument), "delete", "Delete")
		row.Do += anchor("/admin/audit?client="+id, "Trail", "Trail of "+name)
		switch c.Registration {
		case store.RegisteredByReview:
			row.Registered = "in the reviewed list"
		case store.RegisteredByDocument:
			row.Registered = "by its document, " + moment(c.CreatedAt)
		}
		proof := assured[c.Assurance]
		switch {
		case reviewed && protected:
			proof = "A part of this deployment"
		case reviewed && c.AuthMethod != clients.AuthNone:
			proof = "Proves a secret or a key"
		}
		if proof != "" {
			row.Proof = proof + ". "
		}
		if c.Type != "" {
			row.Proof += "Type " + c.Type + ", level " + strconv.Itoa(c.Assurance) + "."
		}
		out = append(out, row)
	}
	return out
}

// comesBack is true of every client that registered by itself.
const comesBack = "Whoever made it can register again at any time, under another id. Users are then asked whether they allow it."

// changeClient reads a form with action and client.
func (s *Server) changeClient(ctx context.Context, _ visitor, form url.Values) (change, error) {
	c, err := s.Clients.Lookup(ctx, form.Get("client"))
	if errors.Is(err, clients.ErrUnknown) {
		return change{}, store.ErrNotFound
	}
	if err != nil {
		return change{}, err
	}
	action := form.Get("action")
	ch := change{
		Subject: s.Describe(c).FullName + ", " + inert(c.ID), Back: "/admin/clients",
		event: audit.Event{Client: c.ID, Detail: map[string]string{"action": action + " client", "name": c.Name}},
	}
	byDocument, byItself := c.Registration == store.RegisteredByDocument, c.Registration == store.RegisteredDynamically
	switch action {
	case "suspend":
		ch.Title, ch.Button, ch.Danger, ch.notice = "Suspend this client?", "Suspend", true, "client"
		ch.Effects = []string{
			"Every access that users gave it ends: at the gateway within a second.",
			"It gets no new access until it is let in again. Whoever comes from it is told that it is suspended.",
		}
		if byItself {
			ch.Warning = comesBack
		}
		if c.Registration == store.RegisteredByReview && clients.IsProtected(c) {
			ch.refused = "This client is a part of the deployment, which would not work without it."
		}
		ch.do = func(ctx context.Context) error { return s.Clients.Suspend(ctx, c.ID) }
	case "restore":
		ch.Title, ch.Button, ch.notice = "Let this client in again?", "Let it in", "restored"
		ch.Effects = []string{"It may ask users for access. What it had before stays ended."}
		ch.do = func(ctx context.Context) error { return s.Clients.Restore(ctx, c.ID) }
	case "delete":
		ch.Title, ch.Button, ch.Danger, ch.notice = "Delete this client?", "Delete", true, "deleted"
		ch.Effects = []string{
			"Every access that users gave it ends: at the gateway within a second.",
			"Its registration is removed, and its id never given to another.",
		}
		if byItself {
			ch.Warning = comesBack
		}
		if byDocument {
			ch.Effects[1] = "What is kept of its document is removed."
			ch.Warning = "It is described by a document on the web, so it is back as soon as a user comes from it. To keep it out, suspend it."
		}
		switch {
		case c.Registration == store.RegisteredByReview:
			ch.refused = "This client is in the reviewed list of the deployment (CLIENTS_FILE). Remove it there."
		case byDocument && s.Clients.IsSuspended(c.ID):
			ch.refused = "It is suspended. Deleted, it would not be seen in any list and stay suspended all the same."
		}
		ch.do = func(ctx context.Context) error { return s.Clients.Delete(ctx, c) }
	default:
		return ch, errNothing
	}
	return ch, nil
}
