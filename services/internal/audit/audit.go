// Package audit is how the services record what was decided: who was let in,
// what was consented to, issued, exchanged, refused and called. A record is an
// Event; all events end in one trail, which the authorization server keeps
// (package authserver/audit). The services behind the gateway send theirs there
// (sender.go).
//
// Events are for people who ask what happened, weeks later. They hold ids,
// never a token, a passcode or what a tool answered.
package audit

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/token"
)

// Decision is how an event ended.
type Decision string

// Decisions.
const (
	Allowed Decision = "allowed"
	Refused Decision = "refused"
	Failed  Decision = "failed" // by an outage, or a mistake of ours
)

// Kind says what an event is about.
type Kind string

// Kinds of events, in the order in which they follow one another.
const (
	ClientRegistered Kind = "client.registered"
	ClientChanged    Kind = "client.changed"
	ClientDeleted    Kind = "client.deleted"
	ClientRefused    Kind = "client.authentication" // a client that did not prove who it is
	PasscodeSent     Kind = "passcode.sent"
	SignIn           Kind = "signin"
	SignOut          Kind = "signout"
	Consent          Kind = "consent"
	ConsentWithdrawn Kind = "consent.withdrawn"
	Authorization    Kind = "authorization" // a request that never got as far as consent
	TokenIssued      Kind = "token.issued"
	TokenExchanged   Kind = "token.exchanged"
	TokenRevoked     Kind = "token.revoked"
	TokenReused      Kind = "token.reused" // a code or refresh token came again
	OrderApproval    Kind = "order.approval"
	Access           Kind = "access"       // the gateway judged a token
	ToolCall         Kind = "tool.call"    // the MCP server ran a tool
	APIDecision      Kind = "api.decision" // the stocks API applied its policy
	Administration   Kind = "administration"
	Lost             Kind = "audit.lost" // events that could not be kept; Detail says how many
)

// Event is one record. Fields that do not apply are empty.
type Event struct {
	ID       string    `json:"id"` // random; an event that is sent twice is kept once
	Time     time.Time `json:"time"`
	Service  string    `json:"service"`
	Kind     Kind      `json:"kind"`
	Decision Decision  `json:"decision"`
	Reason   string    `json:"reason,omitempty"`

	Request string `json:"request,omitempty"` // correlation id, X-Request-Id
	Flow    string `json:"flow,omitempty"`    // joins the pages of one authorization, from the client's request to the code
	Grant   string `json:"grant,omitempty"`   // joins everything that came of one approval
	Token   string `json:"token,omitempty"`   // jti, or the fingerprint of an opaque token

	User     string   `json:"user,omitempty"` // subject
	Client   string   `json:"client,omitempty"`
	Actors   []string `json:"actors,omitempty"` // who acts for the user, newest first (RFC 8693 §4.1)
	Audience string   `json:"audience,omitempty"`
	Scope    string   `json:"scope,omitempty"`

	Detail map[string]string `json:"detail,omitempty"` // the tool, the stock, the redirect host
}

// Recorder keeps events. Record does not block and does not fail: a trail that
// is out of reach must not stop the service that it watches.
type Recorder interface {
	Record(ctx context.Context, e Event)
}

// RecorderFunc is a function that records.
type RecorderFunc func(ctx context.Context, e Event)

// Record implements Recorder.
func (f RecorderFunc) Record(ctx context.Context, e Event) { f(ctx, e) }

// Discard keeps nothing.
var Discard Recorder = RecorderFunc(func(context.Context, Event) {})

// Complete fills in what an event has of its own and of the request that ctx
// belongs to.
func Complete(ctx context.Context, e Event, service string, now time.Time) Event {
	if e.ID == "" {
		e.ID = rand.Text()
	}
	if e.Time.IsZero() {
		e.Time = now.UTC()
	}
	if e.Service == "" {
		e.Service = service
	}
	if e.Request == "" {
		e.Request = httpserver.RequestID(ctx)
	}
	return e
}

// Bounds of refusals that concern nobody who is known. A stranger can cause as
// many as they like, and must not push out of the trail what matters.
const (
	strangersPerSecond = 20
	strangersAtOnce    = 1000
)

// Strangers says which refusals of strangers are recorded: a token bucket. The
// zero value is ready.
type Strangers struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

// Take reports whether an event may be recorded.
func (s *Strangers) Take(e Event, now time.Time) bool {
	if e.Decision == Allowed || e.User != "" || e.Grant != "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() {
		s.left = strangersAtOnce
	} else {
		s.left = min(strangersAtOnce, s.left+now.Sub(s.at).Seconds()*strangersPerSecond)
	}
	s.at = now
	if s.left < 1 {
		return false
	}
	s.left--
	return true
}

// Of returns an event about what the bearer of a token did.
func Of(c *token.Claims, kind Kind, decision Decision, reason string) Event {
	e := Event{
		Kind: kind, Decision: decision, Reason: reason,
		Grant: c.GrantID, Token: c.ID, User: c.Subject, Client: c.ClientID, Scope: c.Scope,
	}
	if len(c.Audience) == 1 {
		e.Audience = c.Audience[0]
	}
	e.Actors = Actors(c.Actor)
	return e
}

// Actors lists who acts for the subject of a token, newest first.
func Actors(a *token.Actor) (all []string) {
	for ; a != nil; a = a.Actor {
		all = append(all, a.Subject)
	}
	return all
}
