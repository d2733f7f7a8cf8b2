package audit

import "context"

// eventKey is where the event of a request is kept while it is answered.
type eventKey struct{}

// Begin returns a context with the event of one request, which whoever
// answers it fills in (see On) and the caller of Begin records at the end.
func Begin(ctx context.Context, kind Kind) (context.Context, *Event) {
	e := &Event{Kind: kind}
	return context.WithValue(ctx, eventKey{}, e), e
}

// On returns the event of the request that ctx belongs to, to write into. For
// a request that is not recorded it goes nowhere.
func On(ctx context.Context) *Event {
	if e, ok := ctx.Value(eventKey{}).(*Event); ok {
		return e
	}
	return new(Event)
}
