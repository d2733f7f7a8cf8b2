package stocksmcp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// orders are the approvals of the authorization server and the orders of the
// stocks API, as the tests need them.
type orders struct {
	Approvals   atomic.Value  // string: answer of /approvals instead of an approval, "status body"
	PlaceOrders atomic.Value  // string: answer of POST /orders instead of an order
	PlaceOnce   atomic.Bool   // PlaceOrders is the answer to one request
	OrderDelay  chan struct{} // when set, POST /orders waits for it to be closed

	lock     sync.Mutex
	approval []*fakeApproval
	placed   map[string]map[string]any // by approval
}

type fakeApproval struct {
	id, grant, status string
	details           token.AuthorizationDetail
	used              bool
}

func (o *orders) noOrders() {
	o.Approvals.Store("")
	o.PlaceOrders.Store("")
	o.placed = map[string]map[string]any{}
}

// decide is what the user does on the page, about the newest approval.
func (o *orders) decide(status string) {
	o.lock.Lock()
	defer o.lock.Unlock()
	o.approval[len(o.approval)-1].status = status
}

// asked returns how many approvals were asked for.
func (o *orders) asked() int {
	o.lock.Lock()
	defer o.lock.Unlock()
	return len(o.approval)
}

// take is the exchange of an approval, which works once.
func (o *orders) take(id, grant string) (details token.AuthorizationDetail, code string) {
	o.lock.Lock()
	defer o.lock.Unlock()
	for _, a := range o.approval {
		switch {
		case a.id != id:
		case a.used || a.grant != grant:
			return details, "expired_token"
		case a.status == "pending":
			return details, "authorization_pending"
		case a.status == "declined":
			return details, "access_denied"
		default:
			a.used = true
			details = a.details
			details.Approval = id
			return details, ""
		}
	}
	return details, "expired_token"
}

func (o *orders) describe(w http.ResponseWriter, status int, a *fakeApproval) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"approval_id": a.id, "approval_uri": testSite.Issuer() + "/approve?approval=" + a.id, "status": a.status, "expires_in": 600,
	})
}

// serveAsk is POST /approvals.
func (c *chain) serveAsk(w http.ResponseWriter, r *http.Request) {
	if override(w, &c.Approvals) || !c.authenticated(w, r) {
		return
	}
	subject, err := c.subjects.Verify(r.Context(), r.PostFormValue("subject_token"))
	var details []token.AuthorizationDetail
	switch {
	case err != nil || r.PostFormValue("subject_token_type") != oauth.TokenTypeAccessToken:
		refuse(w, http.StatusBadRequest, "invalid_request")
		return
	case !oauth.HasScope(subject.Scope, oauth.ScopeStocksTrade):
		refuse(w, http.StatusBadRequest, "invalid_scope")
		return
	case json.Unmarshal([]byte(r.PostFormValue("authorization_details")), &details) != nil || len(details) != 1 ||
		details[0].Type != token.StockOrder || details[0].Approval != "" || details[0].Currency == "":
		refuse(w, http.StatusBadRequest, "invalid_authorization_details")
		return
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, a := range c.approval {
		if a.grant == subject.GrantID && a.details == details[0] && !a.used {
			c.describe(w, http.StatusOK, a)
			return
		}
	}
	a := &fakeApproval{id: fmt.Sprint("APPROVAL", len(c.approval)+1), grant: subject.GrantID, details: details[0], status: "pending"}
	c.approval = append(c.approval, a)
	c.describe(w, http.StatusCreated, a)
}

// serveApproval is GET /approvals/{id}.
func (c *chain) serveApproval(w http.ResponseWriter, r *http.Request) {
	if override(w, &c.Approvals) || !c.authenticated(w, r) {
		return
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, a := range c.approval {
		if a.id == r.PathValue("id") {
			c.describe(w, http.StatusOK, a)
			return
		}
	}
	refuse(w, http.StatusNotFound, "invalid_request")
}

// serveOrder is POST /orders: ALDP costs 362.77.
func (c *chain) serveOrder(w http.ResponseWriter, r *http.Request) {
	if c.OrderDelay != nil {
		<-c.OrderDelay
	}
	var instead atomic.Value
	instead.Store(c.PlaceOrders.Load())
	if c.PlaceOnce.Load() {
		c.PlaceOrders.Store("")
	}
	if override(w, &instead) {
		return
	}
	claims := token.ClaimsFrom(r.Context())
	var o token.AuthorizationDetail
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || r.Header.Get("Content-Type") != "application/json" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	o.Type = token.StockOrder
	if len(claims.AuthorizationDetails) == 1 {
		o.Approval = claims.AuthorizationDetails[0].Approval
	}
	if !oauth.HasScope(claims.Scope, oauth.ScopeStocksTrade) || len(claims.AuthorizationDetails) != 1 || o != claims.AuthorizationDetails[0] {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if placed, ok := c.placed[o.Approval]; ok {
		_ = json.NewEncoder(w).Encode(placed)
		return
	}
	if limit, _ := strconv.ParseFloat(o.LimitPrice, 64); o.Side == "buy" && limit < 362.77 || o.Side == "sell" && limit > 362.77 {
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(`{"title":"upstream words","status":409,"current_price":"362.77","currency":"USD"}`))
		return
	}
	c.placed[o.Approval] = map[string]any{
		"id": "ORDER" + o.Approval, "status": "executed", "symbol": o.Symbol, "side": o.Side, "quantity": o.Quantity, "limit_price": o.LimitPrice,
		"executed_price": "362.77", "currency": o.Currency, "created_at": "2026-07-28T20:00:00Z", "client_id": claims.ClientID, "approval": o.Approval,
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(c.placed[o.Approval])
}
