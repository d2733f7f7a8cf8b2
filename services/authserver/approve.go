package authserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/token"
)

// approvalID is what rand.Text makes. The id is put into the address to return
// to after signing in, so it is checked before it is known.
var approvalID = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// errNoOrder is the one answer for an order that is unknown, over, dead, or
// another user's: an id says nothing to whoever finds it.
var errNoOrder = pageError{Status: http.StatusNotFound, Title: "There is no order for you to decide",
	Text: "It may have been decided already, be older than ten minutes, or be for another user: then sign out, and open the link again as that user. " +
		"You can close this window and go back to your application."}

// approvePage serves GET /approve: the user sees which client wants to place
// which order. Before they are signed in, nothing is said about it.
func (s *server) approvePage(c echo.Context) error {
	id := c.QueryParam("approval")
	if !approvalID.MatchString(id) {
		return errNoOrder
	}
	v, ok, err := s.visitor(c)
	if err != nil {
		return err
	}
	if !ok {
		return s.signInFirst(c, approvePath(id), grants.TradeSignInAge)
	}
	a, client, err := s.order(c, id, v)
	if err != nil {
		return err
	}
	if a.Status != store.ApprovalPending {
		return s.approvalDone(c, a.Status, client)
	}
	if s.grants.NeedsSignInToApprove(v.Session.AuthTime) { // only for an order that is theirs
		return s.signInFirst(c, approvePath(id), grants.TradeSignInAge)
	}
	var order token.AuthorizationDetail
	if err := json.Unmarshal([]byte(a.Details), &order); err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	return s.plain(c, "approve", map[string]any{
		"Visitor": v, "Client": s.viewOf(client, ""), "Asks": "wants to place it in your name", "ID": id,
		"Order": grants.OrderText(order), "Until": a.ExpiresAt.UTC().Format("15:04 MST"), "Left": minutes(a.ExpiresAt.Sub(s.now())),
	})
}

// decideApproval serves POST /approve: the user's decision waits for the
// resource server that asked.
func (s *server) decideApproval(c echo.Context) error {
	id, decision := c.FormValue("approval"), c.FormValue("decision")
	v, err := s.poster(c)
	if err != nil {
		return err
	}
	if decision != "allow" && decision != "deny" {
		return pageError{Status: http.StatusBadRequest, Title: "No decision", Text: "Go back and choose whether to approve the order or to decline it."}
	}
	a, client, err := s.order(c, id, v)
	if err != nil {
		return err
	}
	if a.Status != store.ApprovalPending {
		undecided(c) // it was before
	} else {
		if decision == "allow" && s.grants.NeedsSignInToApprove(v.Session.AuthTime) { // the page was open for too long
			undecided(c)
			return s.signInFirst(c, approvePath(id), grants.TradeSignInAge)
		}
		err := s.grants.Decide(c.Request().Context(), id, v.User.ID, v.Session.AuthTime, decision == "allow")
		if errors.Is(err, store.ErrNotFound) { // another window was faster, or time was
			return errNoOrder
		}
		if err != nil {
			return err
		}
		a.Status = store.ApprovalDeclined
		if decision == "allow" {
			a.Status = store.ApprovalApproved
		}
	}
	return s.approvalDone(c, a.Status, client)
}

// order returns an approval that is the visitor's own.
func (s *server) order(c echo.Context, id string, v visitor) (store.LiveApproval, store.Client, error) {
	a, client, err := s.grants.Approval(c.Request().Context(), id)
	if errors.Is(err, store.ErrNotFound) || err == nil && a.Grant.UserID != v.User.ID {
		return a, client, errNoOrder
	}
	return a, client, err
}

// approvalDone says what was decided.
func (s *server) approvalDone(c echo.Context, status string, client store.Client) error {
	return s.plain(c, "approvedone", map[string]any{"Approved": status != store.ApprovalDeclined, "Client": s.viewOf(client, "")})
}

// minutes says a time that is left in plain words.
func minutes(d time.Duration) string {
	switch n := int(d.Minutes()); n {
	case 0:
		return "less than a minute"
	case 1:
		return "one minute"
	default:
		return fmt.Sprintf("%d minutes", n)
	}
}
