package stocksapi

import (
	"log/slog"
	"net/http"
	"time"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/problem"
	"demo.example/services/internal/token"
)

// gate asks the policy before an endpoint does anything, and logs what it
// said.
type gate struct {
	ResourceMetadata string
	Now              func() time.Time
	Audit            audit.Recorder
	Log              *slog.Logger
}

// allow returns what the caller may see, or the error to answer with. order is
// the one to place, if that is what is asked.
func (g gate) allow(r *http.Request, op Operation, order *order) (Decision, error) {
	claims := token.ClaimsFrom(r.Context())
	decision := decide(op, request{Claims: claims, Now: g.Now(), Order: order})
	g.log(r, claims, op, decision)
	switch {
	case decision.Allowed:
		return decision, nil
	case decision.Scope != "":
		return decision, &stepUp{
			oauth.Challenge{Error: "insufficient_scope", Scope: decision.Scope, ResourceMetadata: g.ResourceMetadata},
			problem.Details{
				Status: http.StatusForbidden,
				Title:  "Insufficient scope",
				Detail: "Ask the user for the scope " + decision.Scope + " and repeat the request with the new token.",
			},
		}
	case decision.MaxAge != 0:
		return decision, &stepUp{
			oauth.Challenge{Error: "insufficient_user_authentication", MaxAge: decision.MaxAge, ResourceMetadata: g.ResourceMetadata},
			problem.Details{
				Status: http.StatusUnauthorized,
				Title:  "Fresh sign-in required",
				Detail: "Send the user to sign in again, with the max_age of the challenge, and repeat the request with the new token.",
			},
		}
	}
	return decision, &problem.Details{
		Status: http.StatusForbidden,
		Title:  "Not allowed",
		Detail: "This client may not do this for this user. Ask an administrator for access.",
	}
}

// log tells the log and the audit trail of each decision, once.
func (g gate) log(r *http.Request, claims *token.Claims, op Operation, d Decision) {
	decision, event := "deny", audit.Of(claims, audit.APIDecision, audit.Refused, d.Reason)
	if d.Allowed {
		decision, event.Decision = "allow", audit.Allowed
	}
	event.Writes = op == PlaceOrder
	event.Detail = map[string]string{"operation": string(op), "path": r.URL.Path}
	g.Audit.Record(r.Context(), event)
	g.Log.Info("authorization", "request_id", httpserver.RequestID(r.Context()), "operation", string(op),
		"decision", decision, "reason", d.Reason,
		"sub", claims.Subject, "client_id", claims.ClientID, "grant_id", claims.GrantID, "actors", event.Actors, "region", claims.Region,
		"client_type", claims.ClientType, "client_assurance_level", claims.ClientAssuranceLevel)
}

// stepUp is a refusal that a client can do something about: the challenge says
// what (RFC 6750 §3.1, RFC 9470 §3).
type stepUp struct {
	challenge oauth.Challenge
	details   problem.Details
}

func (e *stepUp) Error() string { return e.challenge.String() }
