package stocksapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/audit"
)

// list returns the answer to GET /stocks.
func (a *testAPI) list(query, bearer string) stockList {
	a.t.Helper()
	w := a.do(http.MethodGet, "/stocks"+query, bearer)
	var list stockList
	if err := json.Unmarshal(w.Body.Bytes(), &list); w.Code != http.StatusOK || err != nil {
		a.t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return list
}

func symbols(list stockList) []string {
	all := []string{}
	for _, s := range list.Stocks {
		all = append(all, s.Symbol)
	}
	return all
}

func TestFilter(t *testing.T) {
	a := newTestAPI(t)
	raw := a.token(nil)
	tests := map[string][]string{
		"?symbol=BMSE":                      {"BMSE"},
		"?symbol=BMSE,ALDP":                 {"ALDP", "BMSE"},
		"?symbol=ALDP,ALMB,NOPE":            {"ALDP"}, // ALMB is European
		"?symbol=NOPE":                      {},
		"?name=SYSTEMS":                     {"ALDP"},
		"?name=blue%20mesa":                 {"BMSE"},
		"?name=systems&symbol=BMSE":         {},
		"?symbol=BMSE,ALDP&sort=-symbol":    {"BMSE", "ALDP"},
		"?symbol=BMSE,ALDP&limit=1":         {"ALDP"},
		"?symbol=ALDP,BMSE&sort=name":       {"ALDP", "BMSE"},
		"?symbol=ALDP,BMSE,HBLM&sort=-name": {"HBLM", "BMSE", "ALDP"},
	}
	for query, want := range tests {
		if diff := cmp.Diff(want, symbols(a.list(query, raw))); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

// TestPaging: whatever the order and the size of pages, all stocks come once,
// in the order of the whole list, although prices change between pages.
func TestPaging(t *testing.T) {
	a := newTestAPI(t)
	raw := a.token(map[string]any{"region": "Asia", "client_assurance_level": 2})
	for key := range sorting {
		for _, key := range []string{key, "-" + key} {
			a.Now = testTime
			whole := a.list("?sort="+key, raw)
			if whole.NextCursor != "" || len(whole.Stocks) < 20 {
				t.Fatalf("%s: %d stocks, cursor %q", key, len(whole.Stocks), whole.NextCursor)
			}
			for limit := 1; limit <= len(whole.Stocks); limit += 6 {
				a.Now = testTime
				var got []Stock
				for query := ""; ; {
					page := a.list("?sort="+key+"&limit="+strconv.Itoa(limit)+query, raw)
					got = append(got, page.Stocks...)
					if page.NextCursor == "" {
						break
					}
					query = "&cursor=" + page.NextCursor
					a.Now = a.Now.Add(time.Minute)
				}
				if diff := cmp.Diff(whole.Stocks, got, cmp.AllowUnexported(Stock{})); diff != "" {
					t.Fatalf("%s, pages of %d: %s", key, limit, diff)
				}
			}
		}
	}
}

func TestSort(t *testing.T) {
	a := newTestAPI(t)
	raw := a.token(map[string]any{"region": "Asia"}) // prices with and without decimal places
	number := func(s string) float64 {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for key, value := range map[string]func(Stock) float64{
		"price":          func(s Stock) float64 { return number(s.Price) },
		"change_percent": func(s Stock) float64 { return number(s.ChangePercent) },
	} {
		for _, key := range []string{key, "-" + key} {
			list := a.list("?sort="+key, raw).Stocks
			if !slices.IsSortedFunc(list, func(a, b Stock) int {
				x, y := value(a), value(b)
				if strings.HasPrefix(key, "-") {
					x, y = y, x
				}
				switch {
				case x < y:
					return -1
				case x > y:
					return 1
				}
				return strings.Compare(a.Symbol, b.Symbol) // ties, in either direction
			}) {
				t.Errorf("%s: %+v", key, list)
			}
		}
	}
}

// TestBadQueries: attack X14. Nothing is ignored that is not understood.
func TestBadQueries(t *testing.T) {
	a := newTestAPI(t)
	raw := a.token(map[string]any{"client_type": "mcp", "client_assurance_level": 1})
	forge := func(c cursor) string { return c.String() }
	minute := testTime.Add(-15*time.Minute).Unix() / 60
	good := forge(cursor{Sort: "symbol", Minute: minute, After: "ALDP"})
	if got := symbols(a.list("?limit=1&cursor="+good, raw)); !cmp.Equal(got, []string{"BMSE"}) {
		t.Fatalf("the good cursor leads to %v", got)
	}
	for name, query := range map[string]string{
		"unknown":                   "?currency=USD",
		"in another case":           "?Symbol=ALDP",
		"region":                    "?region=Europe",
		"region beside another":     "?limit=3&region=Europe",
		"twice":                     "?sort=price&sort=symbol",
		"empty":                     "?symbol=",
		"without a value":           "?limit",
		"semicolon":                 "?limit=3;sort=price",
		"escape":                    "?name=%zz",
		"array":                     "?symbol[]=ALDP",
		"limit 0":                   "?limit=0",
		"limit 101":                 "?limit=101",
		"limit -1":                  "?limit=-1",
		"limit not a number":        "?limit=ten",
		"limit huge":                "?limit=99999999999999999999",
		"sort unknown":              "?sort=region",
		"sort twice descending":     "?sort=--price",
		"sort of two":               "?sort=price,name",
		"cursor not base64":         "?cursor=%21",
		"cursor padded":             "?cursor=" + url.QueryEscape(good+"=="),
		"cursor not JSON":           "?cursor=" + base64.RawURLEncoding.EncodeToString([]byte("1")),
		"cursor with more":          "?cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"s":"symbol","t":1,"k":"ALDP","r":"Europe"}`)),
		"cursor spelled otherwise":  "?cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"S":"symbol","t":`+strconv.FormatInt(minute, 10)+`,"k":"ALDP"}`)),
		"cursor of another sort":    "?sort=price&cursor=" + good,
		"cursor of another region":  "?cursor=" + forge(cursor{Sort: "symbol", Minute: minute, After: "ALMB"}),
		"cursor for live prices":    "?cursor=" + forge(cursor{Sort: "symbol", Minute: testTime.Unix() / 60, After: "ALDP"}),
		"cursor of yesterday":       "?cursor=" + forge(cursor{Sort: "symbol", Minute: minute - 24*60, After: "ALDP"}),
		"cursor of the end of time": "?cursor=" + forge(cursor{Sort: "symbol", Minute: 1<<63 - 1, After: "ALDP"}),
		"cursor before time":        "?cursor=" + forge(cursor{Sort: "symbol", Minute: -1 << 63, After: "ALDP"}),
		"cursor of an order":        "?cursor=" + base64.RawURLEncoding.EncodeToString([]byte("ALDP")),
	} {
		w := a.do(http.MethodGet, "/stocks"+query, raw)
		if w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "ALDP") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// FuzzListStocks: whatever the query, the answer is a page of the caller's
// region at prices that the caller may know, or a 400.
func FuzzListStocks(f *testing.F) {
	for _, q := range []string{
		"", "limit=3", "sort=-price&limit=2", "symbol=ALDP,BMSE", "name=a", "region=Europe", "limit=1;2", "%", "symbol=%00",
		"cursor=" + cursor{Sort: "symbol", Minute: testTime.Unix()/60 - 20, After: "ALDP"}.String(),
		"cursor=" + cursor{Sort: "symbol", Minute: testTime.Unix() / 60, After: "ALDP"}.String(),
	} {
		f.Add(q)
	}
	stocks, err := loadCatalog()
	if err != nil {
		f.Fatal(err)
	}
	e := &listStocks{Catalog: stocks, Gate: gate{Now: func() time.Time { return testTime }, Audit: audit.Discard}}
	latest := testTime.Add(-15 * time.Minute)
	f.Fuzz(func(t *testing.T, raw string) {
		r := &http.Request{URL: &url.URL{RawQuery: raw}}
		q, err := readQuery(r, "symbol", "name", "sort", "limit", "cursor")
		if err != nil {
			return
		}
		limit, err := q.limit()
		if err != nil {
			return
		}
		list, err := e.page(Decision{Region: USA, Delay: 15 * time.Minute}, q, limit)
		if err != nil {
			return
		}
		if list.Region != USA || len(list.Stocks) > limit {
			t.Errorf("%q: region %s, %d stocks", raw, list.Region, len(list.Stocks))
		}
		for _, s := range list.Stocks {
			if s.Region != USA || s.AsOf.After(latest) || !s.Delayed {
				t.Errorf("%q: %+v", raw, s)
			}
		}
	})
}

// TestManyParameters: what is refused is refused before it costs anything.
func TestManyParameters(t *testing.T) {
	a := newTestAPI(t)
	for _, target := range []string{"/stocks?" + strings.Repeat("a=1&", 10_000), "/stocks?symbol=" + strings.Repeat("A,", 10_000)} {
		r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+a.token(nil))
		w := httptest.NewRecorder()
		start := time.Now()
		a.ServeHTTP(w, r)
		if took := time.Since(start); took > time.Second || w.Code >= 500 {
			t.Errorf("%d after %v", w.Code, took)
		}
	}
}
