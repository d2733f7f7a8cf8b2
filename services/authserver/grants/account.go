package grants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/token"
)

// Bounds of what is read for an account page.
const (
	accountRows = 500 // grants and consents
	eventRows   = 20  // of each kind
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
// get it again without asking, and what happened in the user's name as far as
// the store still has it, in no order.
func (s *Service) Account(ctx context.Context, userID string) ([]ClientAccess, []Event, error) {
	grants, err := s.Store.Access(ctx, userID, s.Now(), accountRows)
	if err != nil {
		return nil, nil, fmt.Errorf("list grants: %w", err)
	}
	accesses, err := s.accesses(ctx, userID, grants)
	if err != nil {
		return nil, nil, err
	}
	events, err := s.events(ctx, userID, grants)
	return accesses, events, err
}

func (s *Service) accesses(ctx context.Context, userID string, grants []store.Access) ([]ClientAccess, error) {
	consents, err := s.Store.Consents(ctx, userID, accountRows)
	if err != nil {
		return nil, fmt.Errorf("list consents: %w", err)
	}
	var out []*ClientAccess
	of := map[string]*ClientAccess{}
	add := func(clientID string, since time.Time) (*ClientAccess, error) {
		if a, ok := of[clientID]; ok {
			return a, nil
		}
		c, err := s.clientOf(ctx, clientID)
		if err != nil {
			return nil, err
		}
		of[clientID] = &ClientAccess{Client: c, Since: since}
		out = append(out, of[clientID])
		return of[clientID], nil
	}
	for _, g := range grants {
		if !g.Live {
			continue
		}
		a, err := add(g.ClientID, g.CreatedAt)
		if err != nil {
			return nil, err
		}
		a.Scope = union(a.Scope, g.Scope)
		a.Since, a.Until = earliest(a.Since, g.CreatedAt), latest(a.Until, g.ExpiresAt)
		a.UsedAt = latest(a.UsedAt, latest(g.UsedAt, s.uses.at(g.ID)))
	}
	for _, c := range consents {
		if reviewed := s.Clients.Presets[c.ClientID]; !reviewed.Remember || of[c.ClientID] != nil && !of[c.ClientID].Waiting {
			continue
		}
		a, err := add(c.ClientID, c.GivenAt)
		if err != nil {
			return nil, err
		}
		a.Waiting, a.Scope, a.Since = true, union(a.Scope, c.Scope), earliest(a.Since, c.GivenAt)
	}
	list := make([]ClientAccess, len(out))
	for i, a := range out {
		list[i] = *a
	}
	return list, nil
}

// clientOf returns a client that a grant names. One that is gone has its id
// alone.
func (s *Service) clientOf(ctx context.Context, id string) (store.Client, error) {
	c, err := s.Clients.Lookup(ctx, id)
	if errors.Is(err, clients.ErrUnknown) {
		return store.Client{ID: id}, nil
	}
	return c, err
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
	EventAllowed  = "allowed"  // the user gave a client access
	EventApproved = "approved" // the user approved an order
	EventDeclined = "declined" // the user declined an order
)

func (s *Service) events(ctx context.Context, userID string, grants []store.Access) ([]Event, error) {
	approvals, err := s.Store.Approvals(ctx, userID, eventRows)
	if err != nil {
		return nil, fmt.Errorf("list approvals: %w", err)
	}
	var out []Event
	add := func(at time.Time, kind, clientID, order string) error {
		c, err := s.clientOf(ctx, clientID)
		out = append(out, Event{At: at, Kind: kind, Client: c, Order: order})
		return err
	}
	slices.SortFunc(grants, func(a, b store.Access) int { return b.CreatedAt.Compare(a.CreatedAt) })
	for _, g := range grants[:min(len(grants), eventRows)] {
		err = errors.Join(err, add(g.CreatedAt, EventAllowed, g.ClientID, ""))
	}
	for _, a := range approvals {
		kind := EventApproved
		switch a.Status {
		case store.ApprovalPending:
			continue
		case store.ApprovalDeclined:
			kind = EventDeclined
		}
		var order token.AuthorizationDetail
		err = errors.Join(err, json.Unmarshal([]byte(a.Details), &order), add(a.DecidedAt, kind, a.Grant.ClientID, OrderText(order)))
	}
	return out, err
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
