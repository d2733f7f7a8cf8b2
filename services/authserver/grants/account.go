package grants

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/token"
)

// accountStore is what the page of an account needs of the store.
type accountStore interface {
	Access(ctx context.Context, userID string, now time.Time, limit int) ([]store.Access, error)
	Consents(ctx context.Context, userID string, limit int) ([]store.Consent, error)
	Approvals(ctx context.Context, userID string, limit int) ([]store.LiveApproval, error)
}

// Bounds of what is read for an account page.
const (
	accountRows = 500 // grants and consents
	eventRows   = 20
)

// ClientAccess is what one client may do in the name of a user.
type ClientAccess struct {
	Client  store.Client
	Scope   string // of all grants together
	Since   time.Time
	UsedAt  time.Time // zero when it was not used
	Until   time.Time
	Waiting bool // it has no access right now, and gets it without the user being asked
}

// Account returns the clients that have access in the name of a user, or that
// get it again without asking, and the orders that the user decided about, as
// far as the store still has them, in no order.
func (s *Service) Account(ctx context.Context, userID string) ([]ClientAccess, []Event, error) {
	grants, err := s.Store.Access(ctx, userID, s.Now(), accountRows)
	if err != nil {
		return nil, nil, fmt.Errorf("list grants: %w", err)
	}
	consents, err := s.Store.Consents(ctx, userID, accountRows)
	if err != nil {
		return nil, nil, fmt.Errorf("list consents: %w", err)
	}
	approvals, err := s.Store.Approvals(ctx, userID, eventRows)
	if err != nil {
		return nil, nil, fmt.Errorf("list approvals: %w", err)
	}
	var ids []string
	for _, g := range grants {
		ids = append(ids, g.ClientID)
	}
	for _, c := range consents {
		ids = append(ids, c.ClientID)
	}
	for _, a := range approvals {
		ids = append(ids, a.Grant.ClientID)
	}
	clients, err := s.Clients.LookupAll(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		if _, known := clients[id]; !known { // it is gone, and what it got is not
			clients[id] = store.Client{ID: id}
		}
	}
	accesses := s.accesses(grants, consents, clients)
	events, err := events(approvals, clients)
	return accesses, events, err
}

func (s *Service) accesses(grants []store.Access, consents []store.Consent, clients map[string]store.Client) []ClientAccess {
	var out []*ClientAccess
	of := map[string]*ClientAccess{}
	add := func(clientID string, since time.Time) *ClientAccess {
		if of[clientID] == nil {
			of[clientID] = &ClientAccess{Client: clients[clientID], Since: since}
			out = append(out, of[clientID])
		}
		return of[clientID]
	}
	for _, g := range grants {
		if g.Live {
			a := add(g.ClientID, g.CreatedAt)
			a.Scope = union(a.Scope, g.Scope)
			a.Since, a.Until = earliest(a.Since, g.CreatedAt), latest(a.Until, g.ExpiresAt)
			a.UsedAt = latest(a.UsedAt, latest(g.UsedAt, s.uses.at(g.ID)))
		}
	}
	for _, c := range consents {
		if reviewed := s.Clients.Presets[c.ClientID]; !reviewed.Remember || of[c.ClientID] != nil && !of[c.ClientID].Waiting {
			continue
		}
		a := add(c.ClientID, c.GivenAt)
		a.Waiting, a.Scope, a.Since = true, union(a.Scope, c.Scope), earliest(a.Since, c.GivenAt)
	}
	list := make([]ClientAccess, len(out))
	for i, a := range out {
		list[i] = *a
	}
	return list
}

// Event is one thing that happened in a user's name.
type Event struct {
	At     time.Time
	Kind   string // one of the Event constants
	Client store.Client
	Order  string // in words, of an order
}

// Kinds of event.
const (
	EventApproved = "approved" // the user approved an order
	EventDeclined = "declined" // the user declined an order
)

func events(approvals []store.LiveApproval, clients map[string]store.Client) ([]Event, error) {
	var out []Event
	for _, a := range approvals {
		kind := EventApproved
		switch a.Status {
		case store.ApprovalPending:
			continue
		case store.ApprovalDeclined:
			kind = EventDeclined
		}
		var order token.AuthorizationDetail
		if err := json.Unmarshal([]byte(a.Details), &order); err != nil {
			return nil, fmt.Errorf("read the order of approval %s: %w", a.ID, err)
		}
		out = append(out, Event{At: a.DecidedAt, Kind: kind, Client: clients[a.Grant.ClientID], Order: OrderText(order)})
	}
	return out, nil
}

// union returns the values of two scopes, each once.
func union(a, b string) string {
	out := strings.Fields(a)
	for v := range strings.FieldsSeq(b) {
		if len(intersect([]string{v}, out)) == 0 {
			out = append(out, v)
		}
	}
	return strings.Join(out, " ")
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
