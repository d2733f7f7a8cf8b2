package stocksapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// historyDays is how far back daily closes go.
const historyDays = 365

// getHistory serves GET /stocks/:symbol/history: what a stock of the user's
// region cost at the end of each trading day.
type getHistory struct {
	Gate    gate
	Catalog catalog
}

// history is its answer.
type history struct {
	Symbol   string       `json:"symbol"`
	Name     string       `json:"name"`
	Currency string       `json:"currency"`
	Interval string       `json:"interval"`
	From     string       `json:"from"` // the first day that was looked at
	To       string       `json:"to"`   // and the last
	Closes   []dailyClose `json:"closes"`
}

func (e *getHistory) serve(c echo.Context) error {
	decision, err := e.Gate.allow(c.Request(), ReadStocks, nil)
	if err != nil {
		return err
	}
	q, err := readQuery(c.Request(), "from", "to", "interval")
	if err != nil {
		return err
	}
	if interval, ok := q["interval"]; ok && interval != "day" {
		return badRequest("interval has to be day, which is the only one.")
	}
	from, to, err := q.days(e.Gate.Now().Add(-decision.Delay))
	if err != nil {
		return err
	}
	company, ok := e.Catalog.find(decision.Region, c.Param("symbol"))
	if !ok {
		return noStock()
	}
	c.Response().Header().Set("Cache-Control", private)
	return c.JSON(http.StatusOK, history{
		Symbol: company.Symbol, Name: company.Name, Currency: company.Currency, Interval: "day",
		From: from.Format(time.DateOnly), To: to.Format(time.DateOnly), Closes: company.closes(from, to),
	})
}

// days returns the first and the last day to look at. A day that is not over
// has no close: the last is the day before latest, the time up to which the
// caller may know prices.
func (q query) days(latest time.Time) (from, to time.Time, err error) {
	newest := day(latest).AddDate(0, 0, -1)
	oldest := newest.AddDate(0, 0, 1-historyDays)
	from, to = oldest, newest
	if raw, ok := q["from"]; ok {
		if from, err = parseDay(raw); err != nil {
			return from, to, badRequest("from: %s.", err)
		}
	}
	if raw, ok := q["to"]; ok {
		if to, err = parseDay(raw); err != nil {
			return from, to, badRequest("to: %s.", err)
		}
	}
	if from.Before(oldest) {
		from = oldest
	}
	if to.After(newest) {
		to = newest
	}
	if from.After(to) {
		return from, to, badRequest("There is no day between from and to. There are closes from %s to %s.",
			oldest.Format(time.DateOnly), newest.Format(time.DateOnly))
	}
	return from, to, nil
}
