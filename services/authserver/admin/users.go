package admin

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// userRow is a line of the list of users.
type userRow struct {
	ID, Email, Shown string // Shown is the address, fit to be shown
	Admin, Self      bool
	Status, Region   string
	SignedIn         string
	Approve, Suspend bool     // what can be done
	Moves            []string // other regions
}

// users serves GET /admin/users.
func (s *Server) users(c echo.Context, v visitor) error {
	found, err := s.Login.Users(c.Request().Context(), c.QueryParam("after"), rows+1)
	if err != nil {
		return err
	}
	page, more := cut(found)
	var list []userRow
	for _, u := range page {
		row := userRow{
			ID: u.ID, Email: u.Email, Shown: inert(u.Email), Admin: u.Role == store.RoleAdmin, Self: u.ID == v.User.ID,
			Status: u.Status, Region: u.Region, SignedIn: "no", Approve: u.Status != store.UserApproved,
		}
		row.Suspend = u.Status != store.UserSuspended && !row.Self
		switch administering := !u.AdminSeen.IsZero(); {
		case u.Sessions > 0 && administering:
			row.SignedIn = "in " + plural(u.Sessions, "browser") + ", in the administration"
		case u.Sessions > 0:
			row.SignedIn = "in " + plural(u.Sessions, "browser")
		case administering:
			row.SignedIn = "in the administration"
		}
		for _, region := range login.Regions {
			if region != u.Region {
				row.Moves = append(row.Moves, region)
			}
		}
		list = append(list, row)
	}
	next := ""
	if more {
		next = link("/admin/users", "after", page[len(page)-1].Email)
	}
	return s.render(c, http.StatusOK, "users", v, map[string]any{"Users": list, "Next": next})
}

// changeUser reads a form with action, user and, for region, where to.
func (s *Server) changeUser(ctx context.Context, v visitor, form url.Values) (change, error) {
	u, err := s.Login.User(ctx, form.Get("user"))
	if err != nil {
		return change{}, err
	}
	action := form.Get("action")
	ch := change{
		Subject: u.Email, Back: "/admin/users",
		event: audit.Event{Detail: map[string]string{"action": action + " user", "user": u.ID}},
	}
	switch action {
	case "approve":
		ch.Title, ch.Button, ch.notice = "Approve this user?", "Approve", "approved"
		ch.Effects = []string{"They can sign in with a passcode that is mailed to this address, and give applications access to the stocks of " + u.Region + "."}
		if u.Status == store.UserSuspended {
			ch.Effects = append(ch.Effects, "Sessions and access from before the suspension stay ended.")
		}
		if u.Role == store.RoleAdmin {
			ch.Warning = "They have the role of an administrator, and get all that you can do here."
		}
		ch.do = func(ctx context.Context) error { return s.Login.Approve(ctx, u.ID) }
	case "suspend":
		ch.Title, ch.Button, ch.Danger, ch.notice = "Suspend this user?", "Suspend", true, "suspended"
		ch.Effects = []string{
			"They cannot sign in until they are approved again, and are told nothing.",
			"They are signed out everywhere, at once.",
			"Every access that applications have in their name ends: at the gateway within a second.",
		}
		if u.ID == v.User.ID {
			ch.refused = "You cannot suspend yourself. Another administrator can."
		}
		ch.do = func(ctx context.Context) error { return s.Login.Suspend(ctx, v.User.ID, u.ID) }
	case "region":
		region := form.Get("region")
		if !slices.Contains(login.Regions, region) {
			return ch, errNothing
		}
		ch.Title, ch.Button, ch.notice = "Move this user to "+region+"?", "Move", "region"
		ch.Effects = []string{
			"From the next request on they see the stocks of region " + region + ", and no longer those of region " + u.Region + ".",
			"Access that applications have stays, and moves along.",
		}
		if region == u.Region {
			ch.refused = "The user is in this region already."
		}
		ch.event.Detail["from"], ch.event.Detail["to"] = u.Region, region
		ch.do = func(ctx context.Context) error { return s.Login.SetRegion(ctx, u.ID, region) }
	default:
		return ch, errNothing
	}
	return ch, nil
}
