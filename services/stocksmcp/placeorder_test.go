package stocksmcp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// trader returns a token with which orders may be placed, some claims changed.
func (c *chain) trader(changes map[string]any) string {
	claims := map[string]any{"scope": "stocks/read stocks/trade", "client_assurance_level": 2, "grant_id": "grant-1"}
	for name, value := range changes {
		claims[name] = value
	}
	return c.token(claims)
}

func buy(limit string) map[string]any {
	return map[string]any{"symbol": "aldp", "side": "buy", "quantity": 10, "limit_price": limit}
}

// elicited is a client that sends its user to pages.
type elicited struct {
	asked []*mcp.ElicitParams
	visit func() // what the user does there
	leave string // action with which the client answers, when not "accept"
}

func (e *elicited) options() *mcp.ClientOptions {
	return &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}},
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			e.asked = append(e.asked, req.Params)
			if e.leave != "" {
				return &mcp.ElicitResult{Action: e.leave}, nil
			}
			e.visit()
			return &mcp.ElicitResult{Action: "accept"}, nil
		},
	}
}

// wantOrder fails the test unless the result is that of an executed order.
func wantOrder(t *testing.T, result *mcp.CallToolResult, text string) {
	t.Helper()
	var got orderOutcome
	decode(t, result.StructuredContent, &got)
	if result.IsError || got.Status != "executed" || got.Order == nil || got.Order.ExecutedPrice != "362.77" || !strings.Contains(text, "buy 10 ALDP at 362.77 USD") {
		t.Errorf("%s %+v", text, got)
	}
}

// TestPlaceOrder in the newer era: the client is asked by the result, and
// answers by calling again. Attack X10: no token but the approved one gets to
// the orders, and it works there once.
func TestPlaceOrder(t *testing.T) {
	c := newChain(t)
	inbound := c.trader(nil)
	user := &elicited{visit: func() { c.decide("approved") }}
	session := c.connectWith(t, inbound, "2026-07-28", user.options())
	result, text := call(t, session, "place-order", buy("400.00"))
	wantOrder(t, result, text)
	want := []*mcp.ElicitParams{{Mode: "url", URL: testSite.Issuer() + "/approve?approval=APPROVAL1", ElicitationID: "APPROVAL1",
		Message: "Approve or decline the order: buy 10 ALDP, at most 400.00 USD a share. The page is the authorization server's, and may ask you to sign in."}}
	if diff := cmp.Diff(want, user.asked); diff != "" {
		t.Error(diff)
	}

	result, text = call(t, session, "place-order", buy("400.00")) // another order, although it looks the same
	wantOrder(t, result, text)
	if c.asked() != 2 || len(c.placed) != 2 || len(user.asked) != 2 {
		t.Errorf("%d approvals, %d orders, asked %d times", c.asked(), len(c.placed), len(user.asked))
	}
	placed := c.sent("POST /orders")
	if len(placed) != 2 || strings.Contains(strings.Join(placed, ""), inbound) || bearerOf(placed[0]) == bearerOf(placed[1]) {
		t.Errorf("sent: %q", placed)
	}
	if all := c.Log.String(); strings.Contains(all, inbound) || strings.Contains(all, bearerOf(placed[0])) || !strings.Contains(all, `"decision":"pending"`) || !strings.Contains(all, `"decision":"executed"`) {
		t.Errorf("log: %s", all)
	}
}

func bearerOf(sent string) string {
	_, rest, _ := strings.Cut(sent, "Authorization: Bearer ")
	raw, _, _ := strings.Cut(rest, "\r\n")
	return raw
}

// TestPlaceOrderInWords: clients of the older era are asked by an error, those
// that show no pages by a failure. Both can say the link to their user, and go
// on by calling again.
func TestPlaceOrderInWords(t *testing.T) {
	const link = "https://login.demo.localhost:8443/approve?approval=APPROVAL1"
	for _, era := range eras {
		t.Run(era, func(t *testing.T) {
			c := newChain(t)
			session := c.connect(t, c.trader(nil), era)
			params := &mcp.CallToolParams{Name: "place-order", Arguments: buy("400")}
			for range 2 { // asking twice is asking once
				result, err := session.CallTool(t.Context(), params)
				text := ""
				if rpc, ok := errors.AsType[*jsonrpc.Error](err); ok && era < statelessEra {
					text = rpc.Message
					var data struct{ Elicitations []*mcp.ElicitParams }
					if json.Unmarshal(rpc.Data, &data) != nil || rpc.Code != mcp.CodeURLElicitationRequired || len(data.Elicitations) != 1 || data.Elicitations[0].URL != link {
						t.Errorf("%d %s", rpc.Code, rpc.Data)
					}
				} else if err == nil && result.IsError && era >= statelessEra {
					text = result.Content[0].(*mcp.TextContent).Text
				}
				if !strings.Contains(text, "Ask the user to open "+link+" in a browser") || !strings.Contains(text, "buy 10 ALDP, at most 400 USD") {
					t.Errorf("%q, %+v, %v", text, result, err)
				}
			}
			c.decide("approved")
			result, text := call(t, session, "place-order", buy("400"))
			wantOrder(t, result, text)
			if c.asked() != 1 {
				t.Errorf("%d approvals", c.asked())
			}
		})
	}
}

// TestNotWanted: declined on the page, or never gone there.
func TestNotWanted(t *testing.T) {
	tests := map[string]func(c *chain, user *elicited){
		"declined on the page":   func(c *chain, user *elicited) { user.visit = func() { c.decide("declined") } },
		"declined in the client": func(_ *chain, user *elicited) { user.leave = "decline" },
		"cancelled":              func(_ *chain, user *elicited) { user.leave = "cancel" },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			c, user := newChain(t), new(elicited)
			prepare(c, user)
			result, text := call(t, c.connectWith(t, c.trader(nil), "2026-07-28", user.options()), "place-order", buy("400"))
			var got orderOutcome
			decode(t, result.StructuredContent, &got)
			if result.IsError || text != notWanted || got.Status != "declined" || got.Order != nil || len(c.placed) != 0 {
				t.Errorf("%s %+v", text, got)
			}
		})
	}
}

// TestUndecided: accepting in the client is not approving on the page. While
// the user has not decided, the client is asked again, and told that it goes on.
func TestUndecided(t *testing.T) {
	c, user := newChain(t), new(elicited)
	user.visit = func() {
		if len(user.asked) == 2 {
			c.decide("approved")
		}
	}
	var told told
	options := user.options()
	options.ProgressNotificationHandler = told.options().ProgressNotificationHandler
	params := &mcp.CallToolParams{Name: "place-order", Arguments: buy("400")}
	params.SetProgressToken("p")
	result, err := c.connectWith(t, c.trader(nil), "2026-07-28", options).CallTool(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	wantOrder(t, result, result.Content[0].(*mcp.TextContent).Text)
	if len(user.asked) != 2 || c.asked() != 1 {
		t.Errorf("asked %d times for %d approvals", len(user.asked), c.asked())
	}
	within(t, "no progress", func() bool { told.mu.Lock(); defer told.mu.Unlock(); return len(told.seen) > 0 })
}

// TestOrdersInVain: what cannot become an order is refused before the user is
// asked.
func TestOrdersInVain(t *testing.T) {
	c := newChain(t)
	order := func(changes map[string]any) map[string]any {
		o := buy("400")
		for name, value := range changes {
			o[name] = value
		}
		return o
	}
	tests := map[string]struct {
		claims    map[string]any
		arguments map[string]any
		want      string
	}{
		"client of level 1":       {map[string]any{"client_assurance_level": 1}, order(nil), "need client_assurance_level 2, and this client has 1. Use a client with a metadata document or one that authenticates with a key."},
		"no such stock":           {nil, order(map[string]any{"symbol": "NONE"}), string(noStock)},
		"no side":                 {nil, order(map[string]any{"side": "short"}), "validating"},
		"no shares":               {nil, order(map[string]any{"quantity": 0}), "validating"},
		"part of a share":         {nil, order(map[string]any{"quantity": 1.5}), "validating"},
		"too many shares":         {nil, order(map[string]any{"quantity": 10_001}), "validating"},
		"a number as price":       {nil, order(map[string]any{"limit_price": 400}), "validating"},
		"an exponent":             {nil, order(map[string]any{"limit_price": "4e2"}), "validating"},
		"too many decimal places": {nil, order(map[string]any{"limit_price": "400.001"}), "validating"},
		"too high a price":        {nil, order(map[string]any{"limit_price": "100000000"}), "validating"},
		"currency of its own":     {nil, order(map[string]any{"currency": "EUR"}), "validating"},
		"approval of its own":     {nil, order(map[string]any{"approval": "APPROVAL1"}), "validating"},
	}
	for name, tt := range tests {
		result, text := call(t, c.connect(t, c.trader(tt.claims), "2026-07-28"), "place-order", tt.arguments)
		if !result.IsError || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if c.asked() != 0 {
		t.Errorf("%d approvals", c.asked())
	}
}

// TestOrderFailures: each says what the user can do, in words of this server's
// own (attack C10), and none is a 401.
func TestOrderFailures(t *testing.T) {
	const unavailable = "The stocks service is temporarily unavailable. Try again in a moment; the sign-in is fine."
	const withdrawn = "The access of this client was withdrawn. Sign in again to go on."
	tests := map[string]struct {
		approvals string // answer to POST /approvals
		exchange  string // to the exchange of the approval
		orders    string // to POST /orders
		want      string
	}{
		"approvals: down":          {"503 {}", "", "", unavailable},
		"approvals: drop":          {"drop x", "", "", unavailable},
		"approvals: HTML":          {"200 <html>upstream words", "", "", unavailable},
		"approvals: own mistake":   {"401 {}", "", "", unavailable},
		"approvals: redirect":      {"302 {}", "", "", unavailable},
		"approvals: elsewhere":     {`201 {"approval_id":"A","approval_uri":"https://evil.example/approve","status":"pending","expires_in":600}`, "", "", unavailable},
		"approvals: looks like it": {`201 {"approval_id":"A","approval_uri":"https://login.demo.localhost:8443.evil.example/","status":"pending","expires_in":600}`, "", "", unavailable},
		"approvals: odd id":        {`201 {"approval_id":"../x","approval_uri":"https://login.demo.localhost:8443/approve","status":"pending","expires_in":600}`, "", "", unavailable},
		"approvals: odd status":    {`201 {"approval_id":"A","approval_uri":"https://login.demo.localhost:8443/approve","status":"yes","expires_in":600}`, "", "", unavailable},
		"approvals: malformed":     {`400 {"error":"invalid_authorization_details","error_description":"upstream words"}`, "", "", string(orderMalformed)},
		"approvals: no such token": {`400 {"error":"invalid_request"}`, "", "", withdrawn},
		"approvals: scope":         {`400 {"error":"invalid_scope"}`, "", "", "Not allowed"},
		"approvals: too many":      {`429 {"error":"slow_down"}`, "", "", string(tooManyWaiting)},
		"exchange: down":           {"", "503 {}", "", unavailable},
		"exchange: used":           {"", `400 {"error":"expired_token"}`, "", string(approvalUsed)},
		"exchange: pending again":  {"", `400 {"error":"authorization_pending"}`, "", unavailable},
		"exchange: withdrawn":      {"", `400 {"error":"invalid_request"}`, "", withdrawn},
		"orders: price moved":      {"", "", `409 {"current_price":"401.17","currency":"USD","detail":"upstream words"}`, "It is 401.17 USD now."},
		"orders: price in words":   {"", "", `409 {"current_price":"ignore upstream words","currency":"USD"}`, "Ask for its price with get-stock."},
		"orders: refused":          {"", "", `400 {"detail":"upstream words"}`, string(orderRefused)},
		"orders: forbidden":        {"", "", `403 {"detail":"upstream words"}`, string(orderForbidden)},
		"orders: own mistake":      {"", "", "401 {}", unavailable},
		"orders: down":             {"", "", "503 {}", string(outcomeUnknown)},
		"orders: drop":             {"", "", "drop x", string(outcomeUnknown)},
		"orders: HTML":             {"", "", "201 <html>upstream words", string(outcomeUnknown)},
		"orders: no order":         {"", "", `201 {"status":"upstream words"}`, string(outcomeUnknown)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newChain(t)
			c.Approvals.Store(tt.approvals)
			c.PlaceOrders.Store(tt.orders)
			user := &elicited{visit: func() {
				c.decide("approved")
				c.Exchange.Store(tt.exchange)
			}}
			result, text := call(t, c.connectWith(t, c.trader(nil), "2026-07-28", user.options()), "place-order", buy("400"))
			if !result.IsError || !strings.Contains(text, tt.want) || strings.Contains(text, "upstream words") {
				t.Error(text)
			}
			if s := c.Log.String(); strings.Contains(s, "upstream words") || !strings.Contains(s, `"msg":"tool failed"`) {
				t.Errorf("log: %s", s)
			}
		})
	}
}

// TestSignInTooOld: the API asks for a new sign-in, which the page of the next
// approval sees to (RFC 9470).
func TestSignInTooOld(t *testing.T) {
	answer := apiAnswer{status: http.StatusUnauthorized, challenge: `Bearer error="insufficient_user_authentication", max_age="900"`}
	if err := orderRefusal(answer, buyDetails()); !errors.Is(err, signInTooOld) {
		t.Error(err)
	}
}

// TestOrderIsSentAgain: an answer that got lost, or an outage of a moment, does
// not lose the order, nor place it twice.
func TestOrderIsSentAgain(t *testing.T) {
	for _, first := range []string{"503 {}", "drop x"} {
		c := newChain(t)
		c.PlaceOnce.Store(true)
		c.PlaceOrders.Store(first)
		user := &elicited{visit: func() { c.decide("approved") }}
		result, text := call(t, c.connectWith(t, c.trader(nil), "2026-07-28", user.options()), "place-order", buy("400"))
		wantOrder(t, result, text)
		if sent := c.sent("POST /orders"); len(sent) != 2 || bearerOf(sent[0]) != bearerOf(sent[1]) || len(c.placed) != 1 {
			t.Errorf("%d requests, %d orders", len(sent), len(c.placed))
		}
	}
}

// TestOrderOutlivesItsClient: once the approval is used the order is placed,
// although the client hung up.
func TestOrderOutlivesItsClient(t *testing.T) {
	for _, era := range eras {
		c := newChain(t)
		c.OrderDelay = make(chan struct{})
		body, headers := orderBody, modern(map[string]string{"Mcp-Name": "place-order"})
		if era < statelessEra {
			body = strings.Replace(orderBody, ","+meta, "", 1)
			headers = modern(map[string]string{"MCP-Protocol-Version": era, "Mcp-Method": "", "Mcp-Name": ""})
		}
		headers.Set("Authorization", "Bearer "+c.trader(nil))
		c.request(t, http.MethodPost, body, headers)
		c.decide("approved")
		hangUp := c.begin(t, body, headers)
		within(t, "no order was sent", func() bool { return len(c.sent("POST /orders")) == 1 })
		hangUp()
		close(c.OrderDelay)
		within(t, "the order was not placed", func() bool { return strings.Contains(c.Log.String(), `"decision":"executed"`) })
	}
}

// TestWaitingIsBounded: of many calls about one order a few wait for its user,
// and the others are answered at once.
func TestWaitingIsBounded(t *testing.T) {
	var looks atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		looks.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"approval_id":"A1","approval_uri":"`+testSite.Issuer()+`/approve?approval=A1","status":"pending","expires_in":600}`)
	}))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	a := &approvals{URL: u, Origin: testSite.Issuer(), Client: server.Client(), Patience: patience{Every: time.Millisecond, For: time.Minute}}
	ctx, hangUp := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range maxWaiting {
		group.Go(func() {
			if _, err := a.wait(ctx, "A1", func(int, int, string) {}); err == nil {
				t.Error("it did not wait")
			}
		})
	}
	for looks.Load() < 3*maxWaiting { // both are at it
		runtime.Gosched()
	}
	for range 20 {
		if got, err := a.wait(t.Context(), "A1", func(int, int, string) {}); err != nil || got.Status != pending {
			t.Errorf("%+v, %v", got, err)
		}
	}
	hangUp()
	group.Wait()
	if len(a.waiting) != 0 {
		t.Errorf("%v are still counted", a.waiting)
	}
}
