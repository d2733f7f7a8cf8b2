package stocksapi

import (
	"fmt"
	"time"
)

// Prices are a function of the symbol and the minute and of nothing else: they
// are the same in every process, after every restart, and for any time that
// somebody asks about. They move every minute from Monday to Friday (UTC), and
// stand still at Friday's close over the weekend.

// swings are the waves that a price is made of, from the long ones that make a
// chart to the small ones that make it move every minute. Together they stay
// within 23 % of the reference price.
var swings = []struct {
	period    int64 // minutes between two points that are given by chance
	amplitude int64 // parts per million of the reference price
}{
	{64 * 24 * 60, 120_000},
	{16 * 24 * 60, 60_000},
	{4 * 24 * 60, 30_000},
	{24 * 60, 12_000},
	{60, 4_000},
	{15, 2_000},
	{1, 1_000},
}

// Stock is a company's share and what it costs, as the API answers it.
type Stock struct {
	Symbol        string    `json:"symbol"`
	Name          string    `json:"name"`
	Region        Region    `json:"region"`
	Currency      string    `json:"currency"`
	Price         string    `json:"price"`          // decimal: money is no float
	ChangePercent string    `json:"change_percent"` // signed decimal, since the close of the day before
	AsOf          time.Time `json:"as_of"`          // a full minute
	Delayed       bool      `json:"delayed"`        // AsOf is a while ago, by policy

	number, change int64 // to sort by: price and change in hundredths
}

// priceAt returns what a share costs at a moment, in units of the last place.
func (c company) priceAt(t time.Time) int64 {
	minute := tradingTime(t).Unix() / 60
	ppm := int64(1_000_000)
	for _, s := range swings {
		k, part := minute/s.period, minute%s.period
		from, to := c.chance(s.period, k), c.chance(s.period, k+1)
		ppm += (from + (to-from)*part/s.period) * s.amplitude / 1_000_000
	}
	return c.ReferencePrice * ppm / 1_000_000
}

// chance returns a number between -1,000,000 and 1,000,000, always the same
// one for the same point of the same wave of a company.
func (c company) chance(period, k int64) int64 {
	var seed uint64
	for _, b := range []byte(c.Symbol) {
		seed = mix(seed ^ uint64(b))
	}
	return int64(mix(mix(seed^uint64(period))^uint64(k))%2_000_001) - 1_000_000
}

// mix spreads a small difference over all bits (SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// quote returns the share with its price at a moment.
func (c company) quote(at time.Time, delayed bool) Stock {
	price, before := c.priceAt(at), c.priceAt(previousClose(at))
	change := (price - before) * 10_000 / before // hundredths of a percent
	sign, size := "+", change
	if change < 0 {
		sign, size = "-", -change
	}
	s := Stock{
		Symbol: c.Symbol, Name: c.Name, Region: c.Region, Currency: c.Currency,
		Price: formatDecimal(price, c.Digits), ChangePercent: sign + formatDecimal(size, 2),
		AsOf: at.UTC().Truncate(time.Minute), Delayed: delayed,
		number: price, change: change,
	}
	if c.Digits == 0 {
		s.number *= 100
	}
	return s
}

// tradingTime returns the last minute up to t at which there was trade.
func tradingTime(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Minute)
	if weekend(t) {
		friday := t.AddDate(0, 0, -1)
		if t.Weekday() == time.Sunday {
			friday = t.AddDate(0, 0, -2)
		}
		return closeOf(friday)
	}
	return t
}

// closeOf returns the last minute of a day.
func closeOf(t time.Time) time.Time {
	return day(t).Add(24*time.Hour - time.Minute)
}

// previousClose returns the last minute of the trading day before the one that
// t belongs to.
func previousClose(t time.Time) time.Time {
	return tradingTime(day(tradingTime(t)).Add(-time.Minute))
}

// day returns the midnight at which the day of t begins.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func weekend(t time.Time) bool {
	return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday
}

// dailyClose is what a share cost when trade ended on a day.
type dailyClose struct {
	Date  string `json:"date"`
	Close string `json:"close"`
}

// closes returns those of the trading days between from and to, the midnights
// at which the first and the last of them begin.
func (c company) closes(from, to time.Time) []dailyClose {
	all := []dailyClose{}
	for d := from; !d.After(to); d = d.AddDate(0, 0, 1) {
		if !weekend(d) {
			all = append(all, dailyClose{d.Format(time.DateOnly), formatDecimal(c.priceAt(closeOf(d)), c.Digits)})
		}
	}
	return all
}

// parseDay reads a date such as 2026-07-28 as the midnight at which it begins.
func parseDay(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a date such as 2026-07-28", shorten(s))
	}
	return t, nil
}
