package grants

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// approvalStore is what the approval of orders needs of the store.
type approvalStore interface {
	AskApproval(ctx context.Context, a store.Approval, maxPending int, declinedSince time.Time) (out store.Approval, created bool, err error)
	Approval(ctx context.Context, id string) (store.LiveApproval, error)
	DecideApproval(ctx context.Context, id, userID, status string, authTime, now time.Time) error
	TakeApproval(ctx context.Context, id, grantID, caller string, now time.Time) error
}

// Trading takes two decisions of the user. Consent gives a client the scope
// stocks/trade: it may prepare orders. But a client that acts with a mind of its
// own may prepare one that nobody wanted. So each order is put to the user as
// well, on a page of this server, where no client can answer it: the MCP server
// asks (AskApproval), the user decides (Decide), and the MCP server exchanges
// its token for one that is good for this one order (takeApproval).
const (
	ApprovalLifetime = 10 * time.Minute // from the question to the exchange

	// ApprovedLifetime is how long the token for an approved order lives.
	ApprovedLifetime = time.Minute

	// declinedFor is how long a declined order is answered without asking the
	// user again.
	declinedFor = time.Minute

	// maxApprovals is how many orders of one grant may wait at a time. More are
	// not read any more, they are clicked away.
	maxApprovals = 5
)

// AskApproval puts an order to the user in whose name the caller was called
// with a token. Asking again for the same returns the same approval, and created
// is false.
func (s *Service) AskApproval(ctx context.Context, caller store.Client, req ExchangeRequest, details string) (a store.Approval, created bool, err error) {
	rule, err := s.approvalRule(caller, req)
	if err != nil {
		return a, false, err
	}
	order, err := ParseOrder(details)
	if err != nil {
		return a, false, &oauth.Error{Code: "invalid_authorization_details", Description: err.Error(), Status: http.StatusBadRequest} // RFC 9396 §5
	}
	claims, t, err := s.subject(ctx, rule, req)
	if isInactive(err) || err == nil && t.Grant.UserID == "" { // a client that acts for itself has nobody to ask
		return a, false, oauth.InvalidRequest("the subject token is not a valid access token of a user for " + rule.From)
	}
	if err != nil {
		return a, false, err
	}
	if !hasAny(claims.Scope, rule.Approved) {
		return a, false, oauth.InvalidScope("the subject token lacks " + strings.Join(rule.Approved, " "))
	}
	canonical, err := json.Marshal(order)
	if err != nil {
		return a, false, fmt.Errorf("write order: %w", err)
	}
	now := s.Now()
	a, created, err = s.Store.AskApproval(ctx, store.Approval{
		ID: rand.Text(), GrantID: t.GrantID, Caller: caller.ID, Details: string(canonical),
		CreatedAt: now, ExpiresAt: earliest(now.Add(ApprovalLifetime), t.Grant.ExpiresAt),
	}, maxApprovals, now.Add(-declinedFor))
	switch {
	case errors.Is(err, store.ErrFull):
		return a, false, &oauth.Error{Code: "slow_down", Status: http.StatusTooManyRequests, RetryAfter: time.Minute,
			Description: "too many orders wait for this user; have some decided first"}
	case isInactive(err):
		return a, false, oauth.InvalidRequest("the subject token is not a valid access token of a user for " + rule.From)
	case err != nil:
		return a, false, fmt.Errorf("store approval: %w", err)
	}
	about(ctx, t.Grant).Detail = orderDetail(a)
	if !created {
		audit.On(ctx).Kind = "" // the client looks whether the user decided
	} else {
		s.Log.InfoContext(ctx, "approval asked for", "approval_id", a.ID, "grant_id", t.GrantID, "sub", t.Grant.UserID, "client_id", t.Grant.ClientID, "caller", caller.ID)
	}
	return a, created, nil
}

// Approval returns an approval that still may be decided or used. ErrNotFound
// says that there is none, or that what it hangs on is gone: the grant, the
// user, the client, or its right to trade.
func (s *Service) Approval(ctx context.Context, id string) (store.LiveApproval, store.Client, error) {
	a, err := s.Store.Approval(ctx, id)
	if err != nil {
		return a, store.Client{}, fmt.Errorf("find approval: %w", err)
	}
	if !s.Now().Before(a.ExpiresAt) {
		return a, store.Client{}, store.ErrNotFound
	}
	t, err := s.liveGrant(ctx, store.LiveToken{Token: store.Token{Scope: a.Grant.Scope}, Grant: a.Grant, User: a.User})
	if err == nil && !oauth.HasScope(t.Scope, oauth.ScopeStocksTrade) {
		err = store.ErrNotFound
	}
	if err != nil {
		return a, store.Client{}, fmt.Errorf("what the approval hangs on: %w", err)
	}
	return a, t.Client, nil
}

// AskedApproval returns an approval that the caller asked for, with the status
// that it has now. ErrNotFound says that it asked for no such thing.
func (s *Service) AskedApproval(ctx context.Context, caller store.Client, id string) (store.Approval, error) {
	a, err := s.Store.Approval(ctx, id)
	if err == nil && a.Caller != caller.ID {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Approval{}, fmt.Errorf("find approval: %w", err)
	}
	if a.Status == store.ApprovalPending || a.Status == store.ApprovalApproved {
		if _, _, err := s.Approval(ctx, id); isInactive(err) {
			a.Status = store.ApprovalExpired
		} else if err != nil {
			return store.Approval{}, err
		}
	}
	return a.Approval, nil
}

// NeedsSignInToApprove reports whether a user who signed in at authTime has to
// do so again before they approve an order, as they would for the consent to
// trade. With an approval that lives for ten minutes, no order is placed more
// than fifteen after its user proved who they are.
func (s *Service) NeedsSignInToApprove(authTime time.Time) bool {
	return s.Now().Sub(authTime) > TradeSignInAge
}

// Decide notes what a user, who signed in at authTime, decided about an order.
// ErrNotFound says that it is not theirs to decide, or not any more.
func (s *Service) Decide(ctx context.Context, id, userID string, authTime time.Time, approve bool) error {
	a, _, err := s.Approval(ctx, id)
	if err != nil {
		return err
	}
	e := about(ctx, a.Grant)
	e.Detail = orderDetail(a.Approval)
	status := store.ApprovalDeclined
	if approve {
		status = store.ApprovalApproved
	} else {
		e.Decision, e.Reason = audit.Refused, "the user declined"
	}
	if err := s.Store.DecideApproval(ctx, id, userID, status, authTime, s.Now()); err != nil {
		return fmt.Errorf("decide approval: %w", err)
	}
	s.Log.InfoContext(ctx, "approval decided", "approval_id", id, "grant_id", a.GrantID, "sub", userID, "client_id", a.Grant.ClientID, "decision", status)
	return nil
}

// orderDetail names an order in the audit trail.
func orderDetail(a store.Approval) map[string]string {
	return map[string]string{"approval": a.ID, "order": a.Details}
}

// takeApproval uses up the approval that an exchange names, and writes it into
// the claims of the token. It is good for the grant that it was given to, and
// for the resource server that asked.
func (s *Service) takeApproval(ctx context.Context, caller store.Client, id string, t store.LiveToken, claims *token.Claims) error {
	refuse := func(code, description string) error {
		return &oauth.Error{Code: code, Description: description, Status: http.StatusBadRequest}
	}
	gone := refuse("expired_token", "the approval is unknown, used, expired or another's; ask for a new one")
	a, _, err := s.Approval(ctx, id)
	if isInactive(err) || err == nil && (a.GrantID != t.GrantID || a.Caller != caller.ID) {
		return gone
	}
	if err != nil {
		return err
	}
	switch a.Status {
	case store.ApprovalPending:
		return refuse("authorization_pending", "the user has not decided yet; ask again")
	case store.ApprovalDeclined:
		return refuse("access_denied", "the user declined")
	}
	var order token.AuthorizationDetail
	if err := json.Unmarshal([]byte(a.Details), &order); err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	err = s.Store.TakeApproval(ctx, id, t.GrantID, caller.ID, s.Now())
	if isInactive(err) {
		return gone
	}
	if err != nil {
		return fmt.Errorf("take approval: %w", err)
	}
	audit.On(ctx).Detail = orderDetail(a.Approval)
	order.Approval = id
	claims.AuthorizationDetails = []token.AuthorizationDetail{order}
	claims.AuthTime = max(claims.AuthTime, a.AuthTime.Unix()) // who approved may have signed in since the consent
	s.Log.InfoContext(ctx, "approval used", "approval_id", id, "grant_id", t.GrantID, "sub", claims.Subject, "client_id", claims.ClientID, "caller", caller.ID)
	return nil
}
