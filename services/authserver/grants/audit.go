package grants

import (
	"context"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// about notes which grant a request is about, for the audit trail.
func about(ctx context.Context, g store.Grant) *audit.Event {
	e := audit.On(ctx)
	e.Grant, e.User, e.Client, e.Audience = g.ID, g.UserID, g.ClientID, g.Resource
	return e
}
