package stocksapi

import (
	"slices"
	"time"

	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// Operation is what a caller wants to do.
type Operation string

// The operations that there are.
const (
	ReadStocks Operation = "read stocks"
	ReadOrders Operation = "read own orders"
	PlaceOrder Operation = "place an order"
)

// policy says who may do what. Every rule has to hold, and the first that does
// not is the answer. What a client can mend comes last, so that it does not
// bother its user in vain.
//
// All that the rules know comes from the token, which the authorization server
// signed, and from the clock. Nothing in a request can widen what a user sees.
var policy = map[Operation][]rule{
	ReadStocks: {knownRegion, knownClientType, level(1), scope(oauth.ScopeStocksRead)},
	ReadOrders: {knownRegion, knownClientType, level(1), aPerson, scope(oauth.ScopeStocksTrade)},
	PlaceOrder: {knownRegion, knownClientType, level(2), aPerson, scope(oauth.ScopeStocksTrade), signedInWithin(15 * time.Minute), approvedWhenByAgent},
}

// agentDelay is how old the prices are that weakly identified AI agents see.
// From level 2 on, and for all other clients, they are live.
func agentDelay(c *token.Claims) time.Duration {
	if c.ClientType == agent && c.ClientAssuranceLevel < 2 {
		return 15 * time.Minute
	}
	return 0
}

// The client types that there are.
const (
	agent  = "mcp" // an AI agent: somebody else decides for the user
	webApp = "web" // an application in which the user acts
)

// request is what the policy decides on.
type request struct {
	Claims *token.Claims
	Now    time.Time
	Order  *order // to place; nil when it cannot be read, which is refused for itself
}

// Decision is what the policy says about a request, and why. The reason is
// for the log; it holds nothing but what is written here.
type Decision struct {
	Allowed bool
	Reason  string

	Region   Region        // whose stocks exist for the caller
	Delay    time.Duration // of the prices that the caller sees
	Approval string        // that the order was allowed by; empty where none is needed

	Scope  string        // of a refusal: what to ask for instead, when that would help
	MaxAge time.Duration // of a refusal: how recent a sign-in has to be, when a new one would help
}

// decide asks every rule of an operation.
func decide(op Operation, r request) Decision {
	rules := policy[op]
	if len(rules) == 0 {
		return Decision{Reason: "no rule allows this"}
	}
	for _, rule := range rules {
		if denied := rule(r); denied != nil {
			return *denied
		}
	}
	return Decision{
		Allowed: true, Reason: string(op),
		Region: Region(r.Claims.Region), Delay: agentDelay(r.Claims), Approval: approvalOf(r),
	}
}

// A rule returns nil when it holds, else the refusal.
type rule func(request) *Decision

func denied(reason string) *Decision { return &Decision{Reason: reason} }

func knownRegion(r request) *Decision {
	if !slices.Contains([]Region{USA, Europe, Asia}, Region(r.Claims.Region)) {
		return denied("region is missing or unknown")
	}
	return nil
}

func knownClientType(r request) *Decision {
	if r.Claims.ClientType != agent && r.Claims.ClientType != webApp {
		return denied("client_type is missing or unknown")
	}
	return nil
}

// level asks how well the client is identified.
func level(least int) rule {
	return func(r request) *Decision {
		switch has := r.Claims.ClientAssuranceLevel; {
		case has < 1 || has > 3:
			return denied("client_assurance_level is missing or unknown")
		case has < least:
			return denied("client_assurance_level is too low")
		}
		return nil
	}
}

// aPerson keeps out clients that act for themselves: their subject is their
// own (RFC 9068 §2.2), and nobody signed in.
func aPerson(r request) *Decision {
	switch {
	case r.Claims.Subject == "client:"+r.Claims.ClientID || r.Claims.Subject == r.Claims.ClientID:
		return denied("no user is behind the client")
	case r.Claims.AuthTime <= 0 || r.Claims.AuthTime > r.Now.Add(token.Leeway).Unix():
		return denied("auth_time is missing or malformed")
	}
	return nil
}

// scope refuses with a challenge that names every scope that a client of the
// public endpoint needs: the gateway lets no token pass without stocks/read.
func scope(want string) rule {
	all := oauth.ScopeStocksRead
	if want != all {
		all += " " + want
	}
	return func(r request) *Decision {
		if !oauth.HasScope(r.Claims.Scope, want) {
			return &Decision{Reason: "scope " + want + " is missing", Scope: all}
		}
		return nil
	}
}

// signedInWithin asks that the user proved recently who they are (RFC 9470).
func signedInWithin(age time.Duration) rule {
	return func(r request) *Decision {
		if r.Now.Sub(time.Unix(r.Claims.AuthTime, 0)) > age {
			return &Decision{Reason: "the sign-in is too old", MaxAge: age}
		}
		return nil
	}
}

// approvedWhenByAgent: an AI agent may place the one order that its user
// approved, as it was approved, and no other.
func approvedWhenByAgent(r request) *Decision {
	if r.Claims.ClientType == agent && r.Order != nil && approvalOf(r) == "" {
		return denied("the user did not approve this order")
	}
	return nil
}

// approvalOf returns the id of the approval of an agent's order, or "" when
// there is none.
func approvalOf(r request) string {
	if r.Claims.ClientType != agent || r.Order == nil {
		return ""
	}
	for _, d := range r.Claims.AuthorizationDetails {
		if d.Type == token.StockOrder && d.Symbol == r.Order.Symbol && d.Side == r.Order.Side && d.Quantity == r.Order.Quantity &&
			d.Currency == r.Order.Currency && sameAmount(d.LimitPrice, r.Order.LimitPrice) {
			return d.Approval
		}
	}
	return ""
}
