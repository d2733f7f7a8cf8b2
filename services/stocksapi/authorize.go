package stocksapi

import (
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/problem"
	"demo.example/services/internal/token"
)

// gate asks the policy before an endpoint does anything, and logs what it
// said.
type gate struct {
	ResourceMetadata string
	Log              *slog.Logger
}

// read returns the region whose stocks the caller may read, or the error to
// answer with. Parameters are refused rather than ignored: whoever sends
// ?region= believes that it chooses something.
func (g gate) read(c echo.Context) (Region, error) {
	claims := token.ClaimsFrom(c.Request().Context())
	decision := mayRead(claims)
	g.log(c.Request(), claims, decision)
	switch {
	case decision.Scope != "":
		return "", &insufficientScope{oauth.Challenge{
			Error: "insufficient_scope", Scope: decision.Scope, ResourceMetadata: g.ResourceMetadata,
		}}
	case !decision.Allowed:
		return "", &problem.Details{
			Status: http.StatusForbidden,
			Title:  "Not allowed",
			Detail: "This client may not do this for this user. Ask an administrator for access.",
		}
	case c.Request().URL.RawQuery != "":
		return "", &problem.Details{
			Status: http.StatusBadRequest,
			Title:  "Unknown parameter",
			Detail: "This endpoint takes no query parameters. The region is that of the signed-in user.",
		}
	}
	return decision.Region, nil
}

func (g gate) log(r *http.Request, claims *token.Claims, d Decision) {
	var actors []string
	for a := claims.Actor; a != nil; a = a.Actor {
		actors = append(actors, a.Subject)
	}
	g.Log.Info("authorization", "request_id", httpserver.RequestID(r.Context()), "allowed", d.Allowed, "reason", d.Reason,
		"sub", claims.Subject, "client_id", claims.ClientID, "actors", actors, "region", claims.Region,
		"client_type", claims.ClientType, "client_assurance_level", claims.ClientAssuranceLevel)
}

// insufficientScope is the challenge that makes a client ask the user for
// more (RFC 6750 §3.1).
type insufficientScope struct{ challenge oauth.Challenge }

func (e *insufficientScope) Error() string { return e.challenge.String() }
