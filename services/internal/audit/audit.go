// Package audit is how the services record what was decided: who was let in,
// what was consented to, issued, exchanged, refused and called. A record is an
// Event; all events end in one trail, which the authorization server keeps
// (package authserver/trail). The services behind the gateway send theirs there
// (sender.go).
//
// Events are for people who ask what happened, weeks later. They hold ids,
// never a token, a passcode or what a tool answered.
package audit

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/ids"
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
	ID       string    `json:"id"` // unique; an event that is sent twice is kept once
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

	Writes bool `json:"-"` // it changes something, and is in no quota
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

// Bounds of an event: some of its texts are whatever a stranger sent. They are
// above what any id has, and any chain of actors.
const (
	maxField = 1000 // bytes
	maxList  = 20
)

func bounded(s string) string {
	if len(s) <= maxField {
		return s
	}
	return strings.ToValidUTF8(s[:maxField], "") + "…"
}

// Bounded returns the event without what is too long to be of use.
func (e Event) Bounded() Event {
	for _, text := range []*string{&e.Reason, &e.Request, &e.Flow, &e.Grant, &e.Token, &e.User, &e.Client, &e.Audience, &e.Scope} {
		*text = bounded(*text)
	}
	e.Actors = slices.Clone(e.Actors[:min(len(e.Actors), maxList)])
	for i := range e.Actors {
		e.Actors[i] = bounded(e.Actors[i])
	}
	detail := e.Detail
	e.Detail = nil
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		if len(e.Detail) == maxList {
			break
		}
		if e.Detail == nil {
			e.Detail = map[string]string{}
		}
		e.Detail[bounded(name)] = bounded(detail[name])
	}
	return e
}

// Complete fills in what an event has of its own and of the request that ctx
// belongs to, and bounds it.
func Complete(ctx context.Context, e Event, service string, now time.Time) Event {
	if e.ID == "" {
		e.ID = ids.New(now)
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
	return e.Bounded()
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
