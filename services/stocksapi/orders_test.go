package stocksapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
)

// buyALDP is an order that the price of testTime, 342.51, allows.
const buyALDP = `{"symbol":"ALDP","side":"buy","quantity":3,"limit_price":"350","currency":"USD"}`

// approved are the details of a token for that order.
func approved(approval string) json.RawMessage {
	return json.RawMessage(`[{"type":"stock_order","symbol":"ALDP","side":"buy","quantity":3,"limit_price":"350.00","currency":"USD","approval":"` + approval + `"}]`)
}

// trader returns a token of a web client that may trade, some claims replaced.
func (a *testAPI) trader(changes map[string]any) string {
	claims := map[string]any{
		"client_type": "web", "client_assurance_level": 2, "scope": "stocks/read stocks/trade", "grant_id": "grant-1",
		"auth_time": a.Now.Add(-time.Minute).Unix(),
	}
	maps.Copy(claims, changes)
	return a.token(claims)
}

// agent is trader for an AI agent with an approval.
func (a *testAPI) agent(approval string, changes map[string]any) string {
	claims := map[string]any{"client_type": "mcp", "authorization_details": approved(approval), "act": map[string]any{"sub": "stocksmcp"}}
	maps.Copy(claims, changes)
	return a.trader(claims)
}

// order places one.
func (a *testAPI) order(bearer, body, key string) *httptest.ResponseRecorder {
	h := http.Header{}
	if key != "" {
		h.Set("Idempotency-Key", key)
	}
	return a.send(http.MethodPost, "/orders", bearer, body, h)
}

// decode reads an answer with the wanted status.
func decode[T any](t *testing.T, w *httptest.ResponseRecorder, status int) (v T) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &v); w.Code != status || err != nil {
		t.Fatalf("%d %s, want %d", w.Code, w.Body, status)
	}
	return v
}

func TestPlaceOrder(t *testing.T) {
	a := newTestAPI(t)
	w := a.order(a.agent("approval-1", nil), buyALDP, "")
	got := decode[placedOrder](t, w, http.StatusCreated)
	if got.ID == "" || w.Header().Get("Location") != "/orders/"+got.ID {
		t.Errorf("id %q, Location %q", got.ID, w.Header().Get("Location"))
	}
	want := placedOrder{
		ID: got.ID, Status: "executed", Symbol: "ALDP", Side: "buy", Quantity: 3, LimitPrice: "350.00", ExecutedPrice: "342.51",
		Currency: "USD", CreatedAt: testTime, ClientID: "client-1", Approval: "approval-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	read := decode[placedOrder](t, a.do(http.MethodGet, "/orders/"+got.ID, a.trader(nil)), http.StatusOK)
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("read again: %s", diff)
	}
	if !strings.Contains(a.Log.String(), `"msg":"order"`) || !strings.Contains(a.Log.String(), got.ID) {
		t.Error("the order is not in the log")
	}
}

// TestOrdersAreInNoQuota: an order is recorded however much its user reads.
func TestOrdersAreInNoQuota(t *testing.T) {
	a := newTestAPI(t)
	a.order(a.agent("approval-1", nil), buyALDP, "")
	a.do(http.MethodGet, "/orders", a.trader(nil))
	a.do(http.MethodGet, "/stocks", a.trader(nil))
	var got []bool
	for _, e := range a.Events {
		got = append(got, e.Writes)
	}
	if diff := cmp.Diff([]bool{true, false, false}, got); diff != "" {
		t.Error(diff)
	}
}

// TestTradePolicy: who may place and see orders (attack X14).
func TestTradePolicy(t *testing.T) {
	a := newTestAPI(t)
	const metadata = `resource_metadata="https://api.demo.localhost:8443/.well-known/oauth-protected-resource"`
	const moreScope = `Bearer error="insufficient_scope", scope="stocks/read stocks/trade", ` + metadata
	const freshSignIn = `Bearer error="insufficient_user_authentication", max_age="900", ` + metadata
	ago := func(d time.Duration) int64 { return testTime.Add(-d).Unix() }
	detail := func(old, replacement string) map[string]any {
		changed := strings.Replace(string(approved("approval-1")), old, replacement, 1)
		if changed == string(approved("approval-1")) {
			t.Fatalf("%s is not in the details", old)
		}
		return map[string]any{"authorization_details": json.RawMessage(changed)}
	}
	type want struct {
		place, list int
		challenge   string // of POST /orders
		reason      string
	}
	tests := map[string]struct {
		agent   bool
		changes map[string]any
		want    want
	}{
		"web client":            {false, nil, want{201, 200, "", "place an order"}},
		"agent":                 {true, nil, want{201, 200, "", "place an order"}},
		"agent of level 3":      {true, map[string]any{"client_assurance_level": 3}, want{201, 200, "", "place an order"}},
		"agent, trade alone":    {true, map[string]any{"scope": "stocks/trade"}, want{201, 200, "", "place an order"}},
		"agent, other details":  {true, detail(`[`, `[{"type":"payment"},`), want{201, 200, "", "place an order"}},
		"sign-in 15 min ago":    {false, map[string]any{"auth_time": ago(15*time.Minute - 20*time.Second)}, want{201, 200, "", "place an order"}},
		"sign-in in the future": {false, map[string]any{"auth_time": ago(-time.Minute)}, want{403, 403, "", "auth_time is missing or malformed"}},

		"no scope to trade":       {false, map[string]any{"scope": "stocks/read"}, want{403, 403, moreScope, "scope stocks/trade is missing"}},
		"a scope like it":         {false, map[string]any{"scope": "stocks/read stocks/trader"}, want{403, 403, moreScope, "scope stocks/trade is missing"}},
		"sign-in long ago":        {false, map[string]any{"auth_time": ago(16 * time.Minute)}, want{401, 200, freshSignIn, "the sign-in is too old"}},
		"agent, sign-in long ago": {true, map[string]any{"auth_time": ago(time.Hour)}, want{401, 200, freshSignIn, "the sign-in is too old"}},
		"auth_time missing":       {false, map[string]any{"auth_time": nil}, want{403, 403, "", "auth_time is missing or malformed"}},
		"auth_time a string":      {false, map[string]any{"auth_time": "1785335420"}, want{403, 403, "", "auth_time is missing or malformed"}},
		"auth_time 0":             {false, map[string]any{"auth_time": 0}, want{403, 403, "", "auth_time is missing or malformed"}},
		"auth_time negative":      {false, map[string]any{"auth_time": -5}, want{403, 403, "", "auth_time is missing or malformed"}},
		"auth_time huge":          {false, map[string]any{"auth_time": json.RawMessage("9223372036854775807")}, want{403, 403, "", "auth_time is missing or malformed"}},
		"level 1":                 {false, map[string]any{"client_assurance_level": 1}, want{403, 200, "", "client_assurance_level is too low"}},
		"agent of level 1":        {true, map[string]any{"client_assurance_level": 1}, want{403, 200, "", "client_assurance_level is too low"}},
		"level a string":          {false, map[string]any{"client_assurance_level": "2"}, want{403, 403, "", "client_assurance_level is missing or unknown"}},
		"level missing":           {false, map[string]any{"client_assurance_level": nil}, want{403, 403, "", "client_assurance_level is missing or unknown"}},
		"client_type missing":     {false, map[string]any{"client_type": nil}, want{403, 403, "", "client_type is missing or unknown"}},
		"client_type unknown":     {false, map[string]any{"client_type": "Web"}, want{403, 403, "", "client_type is missing or unknown"}},
		"region missing":          {false, map[string]any{"region": nil}, want{403, 403, "", "region is missing or unknown"}},
		"region unknown":          {false, map[string]any{"region": "Mars"}, want{403, 403, "", "region is missing or unknown"}},
		"another region":          {false, map[string]any{"region": "Asia"}, want{404, 200, "", "place an order"}},
		"machine":                 {false, map[string]any{"sub": "client:client-1", "auth_time": nil}, want{403, 403, "", "no user is behind the client"}},
		"machine that signed in":  {false, map[string]any{"sub": "client-1"}, want{403, 403, "", "no user is behind the client"}},

		"agent, no approval":         {true, map[string]any{"authorization_details": nil}, want{403, 200, "", "the user did not approve this order"}},
		"agent, approval has no id":  {true, detail(`,"approval":"approval-1"`, ""), want{403, 200, "", "the user did not approve this order"}},
		"agent, details empty":       {true, map[string]any{"authorization_details": []any{}}, want{403, 200, "", "the user did not approve this order"}},
		"agent, details a string":    {true, map[string]any{"authorization_details": "stock_order"}, want{403, 200, "", "the user did not approve this order"}},
		"agent, details an object":   {true, map[string]any{"authorization_details": map[string]any{}}, want{403, 200, "", "the user did not approve this order"}},
		"agent, a detail malformed":  {true, detail(`[`, `[{"type":1},`), want{403, 200, "", "the user did not approve this order"}},
		"agent, another type":        {true, detail("stock_order", "stock_orders"), want{403, 200, "", "the user did not approve this order"}},
		"agent, another symbol":      {true, detail("ALDP", "BMSE"), want{403, 200, "", "the user did not approve this order"}},
		"agent, another side":        {true, detail("buy", "sell"), want{403, 200, "", "the user did not approve this order"}},
		"agent, another quantity":    {true, detail(`"quantity":3`, `"quantity":2`), want{403, 200, "", "the user did not approve this order"}},
		"agent, quantity a string":   {true, detail(`"quantity":3`, `"quantity":"3"`), want{403, 200, "", "the user did not approve this order"}},
		"agent, another limit":       {true, detail("350.00", "349.99"), want{403, 200, "", "the user did not approve this order"}},
		"agent, limit a number":      {true, detail(`"350.00"`, `350`), want{403, 200, "", "the user did not approve this order"}},
		"agent, limit malformed":     {true, detail("350.00", "3.5e2"), want{403, 200, "", "the user did not approve this order"}},
		"agent, another currency":    {true, detail("USD", "EUR"), want{403, 200, "", "the user did not approve this order"}},
		"agent, names in other case": {true, detail("symbol", "Symbol"), want{403, 200, "", "the user did not approve this order"}},
	}
	for name, tt := range tests {
		raw := a.trader(tt.changes)
		if tt.agent {
			raw = a.agent("approval "+name, tt.changes)
		}
		a.Log.Reset()
		w := a.order(raw, buyALDP, "")
		if w.Code != tt.want.place || w.Header().Get("WWW-Authenticate") != tt.want.challenge {
			t.Errorf("%s: %d %q %s", name, w.Code, w.Header().Get("WWW-Authenticate"), w.Body)
		}
		if got := a.decisions(); len(got) != 1 || got[0]["reason"] != tt.want.reason || got[0]["operation"] != "place an order" {
			t.Errorf("%s: decisions %v", name, got)
		}
		for _, target := range []string{"/orders", "/orders/none"} {
			wantStatus := tt.want.list
			if target != "/orders" && wantStatus == 200 {
				wantStatus = 404
			}
			if w := a.do(http.MethodGet, target, raw); w.Code != wantStatus {
				t.Errorf("%s, GET %s: %d, want %d", name, target, w.Code, wantStatus)
			}
		}
		// What is wrong for orders alone does not spoil the token.
		if w := a.do(http.MethodGet, "/stocks", raw); tt.agent && strings.HasPrefix(tt.want.reason, "the user did not") && w.Code != http.StatusOK {
			t.Errorf("%s, GET /stocks: %d", name, w.Code)
		}
	}
}

// TestOneApprovalOneOrder: the same approval again, at once or later, at
// another price or after a restart, is the same order.
func TestOneApprovalOneOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "orders.db")
	a := newTestAPIWith(t, file)
	raw := a.agent("approval-1", nil)
	srv := httptest.NewServer(a.Handler)
	defer srv.Close()
	statuses := make(chan int, 20)
	var all sync.WaitGroup
	for range cap(statuses) {
		all.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/orders", strings.NewReader(buyALDP))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer "+raw)
			r.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			statuses <- resp.StatusCode
		})
	}
	all.Wait()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	if diff := cmp.Diff(map[int]int{201: 1, 200: 19}, count); diff != "" {
		t.Error(diff)
	}
	first := decode[orderList](t, a.do(http.MethodGet, "/orders", raw), 200).Orders
	if len(first) != 1 {
		t.Fatalf("%d orders", len(first))
	}
	b := newTestAPIWith(t, file)
	b.Now = testTime.Add(40 * 24 * time.Hour) // at another price
	again := b.agent("approval-1", nil)
	for _, key := range []string{"", "another key"} { // which counts for nothing here
		if got := decode[placedOrder](t, b.order(again, buyALDP, key), 200); got != first[0] {
			t.Errorf("got %+v, want %+v", got, first[0])
		}
	}
	for name, changes := range map[string]map[string]any{"user": {"sub": "user-2"}, "client": {"client_id": "client-2"}} {
		if w := b.order(b.agent("approval-1", changes), buyALDP, ""); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), first[0].ID) {
			t.Errorf("another %s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	a := newTestAPI(t)
	raw := a.trader(nil)
	first := decode[placedOrder](t, a.order(raw, buyALDP, "key-1"), 201)
	a.Now = a.Now.Add(5 * time.Minute)
	same := strings.Replace(buyALDP, `"350"`, `"350.00"`, 1) // the same number
	if again := decode[placedOrder](t, a.order(raw, same, "key-1"), 200); again != first {
		t.Errorf("got %+v, want %+v", again, first)
	}
	for _, change := range [][2]string{{"buy", "sell"}, {`3`, `4`}, {`"350"`, `"351"`}} {
		body := strings.Replace(buyALDP, change[0], change[1], 1)
		if w := a.order(raw, body, "key-1"); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	// The key is of this user and client alone, and without one each is new.
	for name, token := range map[string]string{
		"user": a.trader(map[string]any{"sub": "user-2"}), "client": a.trader(map[string]any{"client_id": "client-2"}),
		"quote": a.trader(map[string]any{"client_id": `client-1" "key-1`}),
	} {
		if got := decode[placedOrder](t, a.order(token, buyALDP, "key-1"), 201); got.ID == first.ID {
			t.Errorf("another %s has the same order", name)
		}
	}
	if a, b := decode[placedOrder](t, a.order(raw, buyALDP, ""), 201), decode[placedOrder](t, a.order(raw, buyALDP, ""), 201); a.ID == b.ID {
		t.Error("two orders without a key are one")
	}
	for name, keys := range map[string][]string{
		"empty": {""}, "two": {"a", "b"}, "long": {strings.Repeat("k", 129)}, "space": {"a b"}, "not ASCII": {"ä"},
	} {
		if w := a.send(http.MethodPost, "/orders", raw, buyALDP, http.Header{"Idempotency-Key": keys}); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// TestPriceOutsideLimit: nothing is kept, neither the order nor its name.
func TestPriceOutsideLimit(t *testing.T) {
	a := newTestAPI(t) // 342.51 at testTime
	tests := map[string]int{
		`{"symbol":"ALDP","side":"buy","quantity":3,"limit_price":"342.51","currency":"USD"}`:  201,
		`{"symbol":"ALDP","side":"buy","quantity":3,"limit_price":"342.50","currency":"USD"}`:  409,
		`{"symbol":"ALDP","side":"sell","quantity":3,"limit_price":"342.51","currency":"USD"}`: 201,
		`{"symbol":"ALDP","side":"sell","quantity":3,"limit_price":"342.52","currency":"USD"}`: 409,
	}
	for body, want := range tests {
		w := a.order(a.trader(nil), body, "")
		if w.Code != want {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
		if want == 409 && !strings.Contains(w.Body.String(), `"current_price":"342.51"`) {
			t.Errorf("the price is not told: %s", w.Body)
		}
	}
	low := strings.Replace(buyALDP, "350", "300", 1)
	a.order(a.trader(nil), low, "key-1")
	if w := a.order(a.trader(nil), buyALDP, "key-1"); w.Code != http.StatusCreated {
		t.Errorf("the key of an order that was not executed: %d %s", w.Code, w.Body)
	}
	if list := decode[orderList](t, a.do(http.MethodGet, "/orders", a.trader(nil)), 200); len(list.Orders) != 3 {
		t.Errorf("%d orders, want 3", len(list.Orders))
	}
}

// TestOwnOrders: attack X14, a check for each record. Another user's order is
// answered like one that there is not.
func TestOwnOrders(t *testing.T) {
	a := newTestAPI(t)
	mine, other := a.trader(nil), a.trader(map[string]any{"sub": "user-2"})
	var ids []string
	for range 5 {
		ids = append(ids, decode[placedOrder](t, a.order(mine, buyALDP, ""), 201).ID)
		decode[placedOrder](t, a.order(other, buyALDP, ""), 201)
	}
	elsewhere, nowhere := a.do(http.MethodGet, "/orders/"+ids[0], other), a.do(http.MethodGet, "/orders/none", other)
	if elsewhere.Code != http.StatusNotFound || elsewhere.Body.String() != nowhere.Body.String() {
		t.Errorf("another user's order: %d %s; none: %s", elsewhere.Code, elsewhere.Body, nowhere.Body)
	}
	var got []string
	cursor := ""
	for query := "?limit=2"; ; query = "?limit=2&cursor=" + cursor {
		page := decode[orderList](t, a.do(http.MethodGet, "/orders"+query, mine), 200)
		for _, o := range page.Orders {
			got = append([]string{o.ID}, got...) // the newest comes first
		}
		if page.NextCursor == "" {
			break
		}
		cursor = page.NextCursor
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Error(diff)
	}
	for name, target := range map[string]string{
		"another user's cursor": "/orders?cursor=" + cursor, "not a cursor": "/orders?cursor=bm9uZQ", "not base64": "/orders?cursor=!",
	} {
		if w := a.do(http.MethodGet, target, other); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for _, target := range []string{"/orders?sub=user-2", "/orders?limit=0", "/orders?user=user-2", "/orders/" + ids[0] + "?x=1"} {
		if w := a.do(http.MethodGet, target, mine); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

// malformed are bodies that are no order, each but one step from one.
var malformed = map[string]string{
	"empty":                   ``,
	"null":                    `null`,
	"an array":                `[` + buyALDP + `]`,
	"a string":                `"buy"`,
	"cut off":                 buyALDP[:len(buyALDP)-1],
	"two":                     buyALDP + buyALDP,
	"something after":         buyALDP + ` x`,
	"a name twice":            strings.Replace(buyALDP, `{`, `{"quantity":1,`, 1),
	"a name twice, escaped":   strings.Replace(buyALDP, `{`, `{"\u0071uantity":1,`, 1),
	"a name in other case":    strings.Replace(buyALDP, `"side"`, `"Side"`, 1),
	"unknown":                 strings.Replace(buyALDP, `{`, `{"region":"Europe",`, 1),
	"a user":                  strings.Replace(buyALDP, `{`, `{"sub":"user-2",`, 1),
	"missing":                 strings.Replace(buyALDP, `"side":"buy",`, ``, 1),
	"null inside":             strings.Replace(buyALDP, `"buy"`, `null`, 1),
	"side unknown":            strings.Replace(buyALDP, `buy`, `short`, 1),
	"quantity a string":       strings.Replace(buyALDP, `3,`, `"3",`, 1),
	"quantity a fraction":     strings.Replace(buyALDP, `3,`, `1.5,`, 1),
	"quantity 1e3":            strings.Replace(buyALDP, `3,`, `1e3,`, 1),
	"quantity 0":              strings.Replace(buyALDP, `3,`, `0,`, 1),
	"quantity negative":       strings.Replace(buyALDP, `3,`, `-3,`, 1),
	"quantity large":          strings.Replace(buyALDP, `3,`, `10001,`, 1),
	"quantity overflows":      strings.Replace(buyALDP, `3,`, `18446744073709551619,`, 1),
	"limit a number":          strings.Replace(buyALDP, `"350"`, `350`, 1),
	"limit 0":                 strings.Replace(buyALDP, `350`, `0.00`, 1),
	"limit negative":          strings.Replace(buyALDP, `350`, `-350`, 1),
	"limit with an exponent":  strings.Replace(buyALDP, `350`, `3e2`, 1),
	"limit with three places": strings.Replace(buyALDP, `350`, `350.001`, 1),
	"limit too large":         strings.Replace(buyALDP, `350`, `100000000`, 1),
	"limit empty":             strings.Replace(buyALDP, `350`, ``, 1),
	"symbol an array":         strings.Replace(buyALDP, `"ALDP"`, `["ALDP"]`, 1),
	"another currency":        strings.Replace(buyALDP, `USD`, `EUR`, 1),
	"deep":                    strings.Replace(buyALDP, `"buy"`, strings.Repeat("[", 1000)+strings.Repeat("]", 1000), 1),
	"comment":                 `/**/` + buyALDP,
	"not UTF-8":               strings.Replace(buyALDP, `buy`, "b\xffy", 1),
}

func TestMalformedOrders(t *testing.T) {
	a := newTestAPI(t)
	raw := a.trader(nil)
	for name, body := range malformed {
		w := a.order(raw, body, "")
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"title":"Bad request"`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		// Who may not place orders learns nothing about bodies.
		if w := a.order(a.trader(map[string]any{"scope": "stocks/read"}), body, ""); w.Code != http.StatusForbidden {
			t.Errorf("%s, without scope: %d", name, w.Code)
		}
	}
	tests := map[string]struct {
		body   string
		header http.Header
		status int
	}{
		"no type":        {buyALDP, http.Header{"Content-Type": nil}, 415},
		"a form":         {buyALDP, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415},
		"text":           {buyALDP, http.Header{"Content-Type": {"text/plain"}}, 415},
		"a type like it": {buyALDP, http.Header{"Content-Type": {"application/json5"}}, 415},
		"another set":    {buyALDP, http.Header{"Content-Type": {"application/json; charset=utf-16"}}, 415},
		"compressed":     {buyALDP, http.Header{"Content-Encoding": {"gzip"}}, 415},
		"UTF-8":          {buyALDP, http.Header{"Content-Type": {"Application/JSON; charset=UTF-8"}}, 201},
		"huge":           {buyALDP + strings.Repeat(" ", 1<<20), nil, 413},
		"unknown symbol": {strings.Replace(buyALDP, "ALDP", "NOPE", 1), nil, 404},
		"European":       {strings.Replace(buyALDP, "ALDP", "ALMB", 1), nil, 404},
	}
	for name, tt := range tests {
		if w := a.send(http.MethodPost, "/orders", raw, tt.body, tt.header); w.Code != tt.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := a.send(http.MethodPost, "/orders?dry_run=true", raw, buyALDP, nil); w.Code != http.StatusBadRequest {
		t.Errorf("with a parameter: %d", w.Code)
	}
	elsewhere := a.order(raw, strings.Replace(buyALDP, "ALDP", "ALMB", 1), "").Body.String()
	if nowhere := a.do(http.MethodGet, "/stocks/NOPE", raw).Body.String(); elsewhere != nowhere {
		t.Errorf("another region's stock: %s; no stock: %s", elsewhere, nowhere)
	}
}

// TestOrdersWithoutStore: an outage of the disk is no reason to sign in again,
// and prices go on being served.
func TestOrdersWithoutStore(t *testing.T) {
	a := newTestAPI(t)
	raw := a.trader(nil)
	if err := a.Orders.Close(); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*httptest.ResponseRecorder{
		a.order(raw, buyALDP, ""), a.do(http.MethodGet, "/orders", raw), a.do(http.MethodGet, "/orders/1", raw),
	} {
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "sql") {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	if w := a.do(http.MethodGet, "/stocks", raw); w.Code != http.StatusOK {
		t.Errorf("prices: %d", w.Code)
	}
}

// FuzzParseOrder: what is accepted is an order as openapi.json describes it,
// and its own encoding means the same.
func FuzzParseOrder(f *testing.F) {
	f.Add([]byte(buyALDP))
	for _, body := range malformed {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseOrder(body)
		if err != nil {
			if o != nil {
				t.Error("an order beside an error")
			}
			return
		}
		if o.Side != "buy" && o.Side != "sell" || o.Quantity < 1 || o.Quantity > token.MaxOrderQuantity || !sameAmount(o.LimitPrice, o.LimitPrice) {
			t.Errorf("accepted %q as %+v", body, o)
		}
		again, err := parseOrder(fmt.Appendf(nil, `{"symbol":%s,"side":%q,"quantity":%d,"limit_price":%q,"currency":%s}`,
			quoted(t, o.Symbol), o.Side, o.Quantity, o.LimitPrice, quoted(t, o.Currency)))
		if err != nil || *again != *o {
			t.Errorf("%+v is read back as %+v, %v", o, again, err)
		}
	})
}

func quoted(t *testing.T, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
