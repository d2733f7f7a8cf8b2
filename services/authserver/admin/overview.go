package admin

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/trail"
	"demo.example/services/internal/audit"
)

// lately is how many refusals the overview shows.
const lately = 5

// overview serves GET /admin: what there is, and what was refused lately.
func (s *Server) overview(c echo.Context, v visitor) error {
	ctx := c.Request().Context()
	totals, err := s.Totals.Totals(ctx, s.Now())
	if err != nil {
		return err
	}
	refused, err := s.Trail.Search(ctx, trail.Filter{Decision: audit.Refused, Limit: lately})
	if err != nil {
		return err
	}
	changes, err := s.Trail.Search(ctx, trail.Filter{Kind: audit.Administration, Limit: lately})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, "overview", v, map[string]any{
		"Totals": totals, "Keys": len(s.Keys.List()), "Reviewed": len(s.Clients.Presets),
		"Refused": s.lines(ctx, refused), "Changes": s.lines(ctx, changes),
	})
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
