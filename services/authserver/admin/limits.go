package admin

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/login"
)

// busiest is how many of the keys of a limit are shown.
const busiest = 10

// limitRow is a limit and what it has counted.
type limitRow struct {
	Limiter
	limits.State
}

// limits serves GET /admin/limits: how much strangers did, and may do.
func (s *Server) limits(c echo.Context, v visitor) error {
	passcodes, err := s.Login.PasscodeState(c.Request().Context())
	if err != nil {
		return err
	}
	var list []limitRow
	for _, l := range s.Limiters {
		row := limitRow{Limiter: l, State: l.State(busiest)}
		if l.Key == "" {
			row.Busiest = nil
		}
		list = append(list, row)
	}
	return s.render(c, http.StatusOK, "limits", v, map[string]any{"Passcodes": passcodes, "Limits": list})
}

// policy serves GET /admin/policy: what holds for clients that nobody reviewed,
// from the values that the server works with.
func (s *Server) policy(c echo.Context, v visitor) error {
	return s.render(c, http.StatusOK, "policy", v, map[string]any{
		"Rules": s.Clients.Rules(), "Limit": s.Registrations.State(0), "Issuer": s.Site.Issuer(),
		"Lifetimes": []lifetime{
			{"An authorization request, from the first page to the decision", grants.RequestLifetime},
			{"An authorization code", grants.CodeLifetime},
			{"An access token", grants.AccessLifetime},
			{"An exchanged token, at most", grants.ExchangedLifetime},
			{"A refresh token that is not used", grants.RefreshIdle},
			{"An access, however often it is refreshed", grants.GrantLifetime},
			{"The sign-in behind a request to trade", grants.TradeSignInAge},
			{"A session of the administration that is not used", login.AdminIdle},
		},
	})
}

// lifetime is how long something is good.
type lifetime struct {
	What string
	Long time.Duration
}
