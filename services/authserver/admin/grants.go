package admin

import (
	"context"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// grantRow is an access that somebody gave, in texts that are fit to be shown.
type grantRow struct {
	ID                           string
	Who                          string
	Client                       Description
	Scope, Resource              string
	SignedIn, Since, Used, Until string
	Revoked                      bool
}

// tokenRow is a token of it.
type tokenRow struct {
	store.Token
	Fingerprint, State string
	Live               bool
}

func rowOf(g store.GrantOverview, n names) grantRow {
	who := g.User.Email
	if g.UserID == "" {
		who = "the client itself"
	}
	return grantRow{
		ID: g.ID, Who: inert(who), Client: n.client(g.ClientID), Scope: g.Scope, Resource: g.Resource,
		SignedIn: moment(g.AuthTime), Since: moment(g.CreatedAt), Used: moment(g.UsedAt), Until: moment(g.ExpiresAt), Revoked: g.Revoked,
	}
}

// grants serves GET /admin/grants: what is good for something, of everybody or
// of one user or client.
func (s *Server) grants(c echo.Context, v visitor) error {
	ctx := c.Request().Context()
	user, client := c.QueryParam("user"), c.QueryParam("client")
	found, err := s.Grants.Live(ctx, user, client, c.QueryParam("before"), rows+1)
	if err != nil {
		return err
	}
	page, more := cut(found)
	clients := []string{client}
	for _, g := range page {
		clients = append(clients, g.ClientID)
	}
	names := s.names(ctx, []string{user}, clients)
	var list []grantRow
	for _, g := range page {
		list = append(list, rowOf(g, names))
	}
	next := ""
	if more {
		next = link("/admin/grants", "user", user, "client", client, "before", page[len(page)-1].ID)
	}
	data := map[string]any{"Grants": list, "Next": next, "User": names.user(user)}
	if client != "" {
		data["Client"] = names.client(client)
	}
	return s.render(c, http.StatusOK, "grants", v, data)
}

// grant serves GET /admin/grants/grant: one access and its tokens.
func (s *Server) grant(c echo.Context, v visitor) error {
	ctx := c.Request().Context()
	g, tokens, err := s.Grants.Grant(ctx, c.QueryParam("grant"))
	if err != nil {
		return err
	}
	var list []tokenRow
	for _, t := range tokens {
		row := tokenRow{Token: t, Fingerprint: fingerprint(t.Hash), State: "live"}
		switch {
		case t.Revoked || g.Revoked:
			row.State = "revoked"
		case t.Used:
			row.State = "used: another took its place"
		default:
			row.Live = true
		}
		list = append(list, row)
	}
	return s.render(c, http.StatusOK, "grant", v, map[string]any{"Grant": rowOf(g, s.names(ctx, nil, []string{g.ClientID})), "Tokens": list})
}

// changeGrant reads a form with action, grant and, for a token, its id.
func (s *Server) changeGrant(ctx context.Context, _ visitor, form url.Values) (change, error) {
	g, tokens, err := s.Grants.Grant(ctx, form.Get("grant"))
	if err != nil {
		return change{}, err
	}
	row := rowOf(g, s.names(ctx, nil, []string{g.ClientID}))
	ch := change{
		Subject: row.Client.FullName + ", for " + row.Who, Back: link("/admin/grants/grant", "grant", g.ID), Button: "Revoke", Danger: true,
		event: audit.Event{Grant: g.ID, Client: g.ClientID, Detail: map[string]string{"user": g.UserID}},
	}
	switch form.Get("action") {
	case "revoke":
		ch.Title, ch.notice = "Revoke this access?", "grant"
		ch.Effects = []string{"All of its tokens end: at the gateway within a second.", "The client has to ask for access again. Other access that the user gave stays."}
		ch.event.Detail["action"] = "revoke grant"
		if g.Revoked {
			ch.refused = "It is revoked already."
		}
		ch.do = func(ctx context.Context) error { return s.Grants.EndGrant(ctx, g.Grant) }
	case "revoke token":
		id := form.Get("token")
		ch.event.Token, ch.event.Detail["action"] = id, "revoke token"
		for _, t := range tokens {
			if t.ID == id {
				ch.Title, ch.notice = "Revoke this "+t.Kind+" token?", "token"
				ch.Subject = "The token with the fingerprint " + fingerprint(t.Hash) + " of " + ch.Subject
				ch.Effects = []string{"It ends: at the gateway within a second. A client that has a refresh token gets another one with it; revoke the whole access to prevent that."}
				ch.do = func(ctx context.Context) error { return s.Grants.EndToken(ctx, g.ID, id) }
				return ch, nil
			}
		}
		return ch, store.ErrNotFound
	default:
		return ch, errNothing
	}
	return ch, nil
}
