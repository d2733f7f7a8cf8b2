package stocksapi

import (
	"encoding/json"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
)

// everyCompany returns all of them.
func everyCompany(t *testing.T) (all []company) {
	t.Helper()
	stocks, err := loadCatalog()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range stocks {
		all = append(all, list...)
	}
	return all
}

// TestPricesAreTheSameEverywhere: what is written here was computed once. A
// change of the function would change the past.
func TestPricesAreTheSameEverywhere(t *testing.T) {
	stocks, err := loadCatalog()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for region, symbol := range map[Region]string{USA: "ALDP", Europe: "RSDI", Asia: "DLMS"} {
		c, _ := stocks.find(region, symbol)
		for _, at := range []time.Time{testTime, testTime.Add(time.Minute), testTime.AddDate(-1, 0, 0), testTime.AddDate(5, 0, 0)} {
			got[symbol+" "+at.Format("2006-01-02 15:04")] = c.quote(at, false).Price
		}
	}
	want := map[string]string{
		"ALDP 2025-07-29 14:30": "405.89",
		"ALDP 2026-07-29 14:30": "342.51",
		"ALDP 2026-07-29 14:31": "342.58",
		"ALDP 2031-07-29 14:30": "373.55",
		"DLMS 2025-07-29 14:30": "16582",
		"DLMS 2026-07-29 14:30": "19013",
		"DLMS 2026-07-29 14:31": "19028",
		"DLMS 2031-07-29 14:30": "17784",
		"RSDI 2025-07-29 14:30": "2414.38",
		"RSDI 2026-07-29 14:30": "2206.78",
		"RSDI 2026-07-29 14:31": "2211.27",
		"RSDI 2031-07-29 14:30": "2499.87",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPricesMove(t *testing.T) {
	for _, c := range everyCompany(t) {
		moved := 0
		for minute := range 24 * 60 {
			at := day(testTime).Add(time.Duration(minute) * time.Minute)
			price := c.priceAt(at)
			if low, high := c.ReferencePrice*77/100, c.ReferencePrice*123/100; price < low || price > high {
				t.Fatalf("%s at %v: %d, not within %d and %d", c.Symbol, at, price, low, high)
			}
			if price != c.priceAt(at.Add(59*time.Second)) {
				t.Fatalf("%s moves within the minute %v", c.Symbol, at)
			}
			if price != c.priceAt(at.Add(-time.Minute)) {
				moved++
			}
		}
		if moved < 12*60 {
			t.Errorf("%s moved %d times in a day", c.Symbol, moved)
		}
	}
}

// TestWeekend: prices stand still at Friday's close, which is also what the
// change on Monday is counted from.
func TestWeekend(t *testing.T) {
	friday := time.Date(2026, 7, 31, 0, 0, 0, 0, time.UTC)
	for _, c := range everyCompany(t) {
		closed := c.priceAt(closeOf(friday))
		for _, at := range []time.Time{friday.Add(24 * time.Hour), friday.Add(40 * time.Hour), friday.Add(3*24*time.Hour - time.Second)} {
			if got := c.priceAt(at); got != closed {
				t.Errorf("%s at %v: %d, want %d", c.Symbol, at, got, closed)
			}
		}
		if got := previousClose(friday.AddDate(0, 0, 3).Add(9 * time.Hour)); !got.Equal(closeOf(friday)) {
			t.Errorf("before Monday: %v", got)
		}
		if got := previousClose(friday.AddDate(0, 0, 2)); !got.Equal(closeOf(friday.AddDate(0, 0, -1))) {
			t.Errorf("before the weekend's price: %v", got)
		}
	}
}

// TestDelay: weakly identified AI agents see what the others saw a quarter of
// an hour before.
func TestDelay(t *testing.T) {
	a := newTestAPI(t)
	get := func(changes map[string]any) Stock {
		t.Helper()
		w := a.do(http.MethodGet, "/stocks/ALDP", a.token(changes))
		var s Stock
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	live := map[string]map[string]any{
		"agent of level 2":  {"client_type": "mcp", "client_assurance_level": 2},
		"agent of level 3":  {"client_type": "mcp", "client_assurance_level": 3},
		"web app, level 1":  {"client_type": "web", "client_assurance_level": 1},
		"web app, level 2":  {"client_type": "web", "client_assurance_level": 2},
		"web app, more act": {"client_type": "web", "client_assurance_level": 2, "act": map[string]any{"sub": "stocksmcp"}},
	}
	before := get(live["agent of level 2"])
	a.Now = a.Now.Add(15 * time.Minute)
	for name, changes := range live {
		got := get(changes)
		if got.Delayed || !got.AsOf.Equal(a.Now.Truncate(time.Minute)) || got.Price == before.Price {
			t.Errorf("%s: %+v", name, got)
		}
	}
	late := get(nil)
	if !late.Delayed || late.Price != before.Price || !late.AsOf.Equal(before.AsOf) {
		t.Errorf("agent of level 1: %+v, want %+v", late, before)
	}
}

func TestHistory(t *testing.T) {
	a := newTestAPI(t)
	get := func(query string, changes map[string]any) history {
		t.Helper()
		w := a.do(http.MethodGet, "/stocks/ALDP/history"+query, a.token(changes))
		var h history
		if err := json.Unmarshal(w.Body.Bytes(), &h); w.Code != http.StatusOK || err != nil {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		return h
	}
	year := get("", nil)
	if year.From != "2025-07-29" || year.To != "2026-07-28" || len(year.Closes) != 261 {
		t.Errorf("from %s to %s, %d closes", year.From, year.To, len(year.Closes))
	}
	week := get("?from=2026-07-20&to=2026-07-26&interval=day", nil)
	var days []string
	for _, c := range week.Closes {
		days = append(days, c.Date)
	}
	if diff := cmp.Diff([]string{"2026-07-20", "2026-07-21", "2026-07-22", "2026-07-23", "2026-07-24"}, days); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(year.Closes[len(year.Closes)-7:len(year.Closes)-2], week.Closes); diff != "" {
		t.Errorf("a part differs from the whole: %s", diff)
	}
	if all := get("?from=2020-01-01&to=2030-01-01", nil); len(all.Closes) != 261 {
		t.Errorf("%d closes of ten years", len(all.Closes))
	}
	if weekend := get("?from=2026-07-25&to=2026-07-26", nil); len(weekend.Closes) != 0 {
		t.Errorf("closes of a weekend: %v", weekend.Closes)
	}

	// A day is over for whoever sees old prices when it was over then.
	a.Now = time.Date(2026, 7, 30, 0, 5, 0, 0, time.UTC)
	live := map[string]any{"client_assurance_level": 2}
	if late, now := get("", nil), get("", live); late.To != "2026-07-28" || now.To != "2026-07-29" {
		t.Errorf("shortly after midnight: to %s, live to %s", late.To, now.To)
	}
	// The close is the price of the last minute.
	a.Now = time.Date(2026, 7, 29, 23, 59, 30, 0, time.UTC)
	var last Stock
	if err := json.Unmarshal(a.do(http.MethodGet, "/stocks/ALDP", a.token(live)).Body.Bytes(), &last); err != nil {
		t.Fatal(err)
	}
	a.Now = a.Now.Add(time.Hour)
	if h := get("?from=2026-07-29", live); len(h.Closes) != 1 || h.Closes[0].Close != last.Price {
		t.Errorf("closes %v, last price %s", h.Closes, last.Price)
	}
}

func TestHistoryRefuses(t *testing.T) {
	a := newTestAPI(t)
	raw := a.token(nil)
	for target, want := range map[string]int{
		"/stocks/ALDP/history?from=yesterday":                      400,
		"/stocks/ALDP/history?from=2026-02-30":                     400,
		"/stocks/ALDP/history?to=28.07.2026":                       400,
		"/stocks/ALDP/history?from=2026-07-28&to=2026-07-27":       400,
		"/stocks/ALDP/history?from=2030-01-01":                     400,
		"/stocks/ALDP/history?to=2020-01-01":                       400,
		"/stocks/ALDP/history?interval=minute":                     400,
		"/stocks/ALDP/history?from=2026-07-20&from=2026-07-21":     400,
		"/stocks/ALDP/history?limit=3":                             400,
		"/stocks/ALMB/history":                                     404,
		"/stocks/NOPE/history":                                     404,
		"/stocks/ALDP/history/":                                    404,
		"/stocks/ALDP/history?from=0001-01-01&to=9999-12-31":       200,
		"/stocks/ALDP/history?from=2026-07-28T00%3A00%3A00Z":       400,
		"/stocks/ALDP/history?from=%C2%B2%C2%B2%C2%B2%C2%B2-01-01": 400,
	} {
		if w := a.do(http.MethodGet, target, raw); w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	elsewhere, nowhere := a.do(http.MethodGet, "/stocks/ALMB/history", raw), a.do(http.MethodGet, "/stocks/NOPE/history", raw)
	if elsewhere.Body.String() != nowhere.Body.String() {
		t.Errorf("another region's stock: %s; no stock: %s", elsewhere.Body, nowhere.Body)
	}
}

func TestDecimal(t *testing.T) {
	tests := map[string]struct {
		digits int
		want   int64
		ok     bool
	}{
		"0": {2, 0, true}, "1": {2, 100, true}, "12.5": {2, 1250, true}, "12.50": {2, 1250, true}, "0.01": {2, 1, true},
		"1467": {0, 1467, true}, "99999999.99": {2, 9999999999, true},
		"": {}, ".5": {2, 0, false}, "5.": {2, 0, false}, "1.234": {2, 0, false}, "1.0": {0, 0, false}, "01": {2, 0, false},
		"-1": {2, 0, false}, "+1": {2, 0, false}, "1e2": {2, 0, false}, "1,50": {2, 0, false}, "1 000": {2, 0, false}, "1.2.3": {2, 0, false},
		"NaN": {2, 0, false}, "0x10": {2, 0, false}, "1_000": {2, 0, false}, "١": {2, 0, false}, "100000000": {2, 0, false},
	}
	for s, tt := range tests {
		got, err := parseDecimal(s, tt.digits)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"0", "12.50", "1467", "00", "1e9", "-1", "99999999.99", "1.2.3"} {
		f.Add(s, 2)
	}
	form := regexp.MustCompile(token.LimitPriceForm())
	f.Fuzz(func(t *testing.T, s string, digits int) {
		if digits < 0 || digits > token.MaxPriceDecimals {
			return
		}
		amount, err := parseDecimal(s, digits)
		if err == nil && (!form.MatchString(s) || amount < 0) {
			t.Errorf("accepted %q as %d", s, amount)
		}
		if err != nil {
			return
		}
		if again, err := parseDecimal(formatDecimal(amount, digits), digits); err != nil || again != amount {
			t.Errorf("%q: %d is written %q", s, amount, formatDecimal(amount, digits))
		}
	})
}
