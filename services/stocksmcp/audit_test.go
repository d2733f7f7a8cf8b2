package stocksmcp

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// TestCallsAreRecorded: each call is one event, however it ended; lists are
// none.
func TestCallsAreRecorded(t *testing.T) {
	c := newChain(t)
	session := c.connect(t, c.token(nil), "2026-07-28")
	if _, err := session.ListTools(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	callTool(t, session)
	c.API.Store("503 {}")
	callTool(t, session)
	if _, err := session.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "stocks://ALDP"}); err == nil {
		t.Error("read without the API")
	}
	h := modern(map[string]string{"Mcp-Name": placeOrderName})
	h.Set("X-Request-Id", "request-1")
	h.Set("Authorization", "Bearer "+c.token(nil))
	c.request(t, http.MethodPost, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"place-order","arguments":{},`+meta+`}}`, h)
	want := []string{
		"request-1 user-1 fetch-stock-prices allowed ", "request-1 user-1 fetch-stock-prices failed " + string(unavailable),
		"request-1 user-1 stocks://ALDP failed " + string(unavailable), "request-1 user-1 place-order refused scope stocks/trade is missing",
	}
	if diff := cmp.Diff(want, c.audited()); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// TestOrdersAreInNoQuota: a call that places an order is recorded however many
// others its user made; one that only asks counts like any other.
func TestOrdersAreInNoQuota(t *testing.T) {
	c := newChain(t)
	user := &elicited{visit: func() { c.decide("approved") }}
	session := c.connectWith(t, c.trader(nil), "2026-07-28", user.options())
	callTool(t, session)
	call(t, session, placeOrderName, buy("400.00"))
	var got []bool
	for _, e := range c.events {
		got = append(got, e.Writes)
	}
	if diff := cmp.Diff([]bool{false, false, true}, got); diff != "" { // prices, the question, the order
		t.Errorf("%v: %s", c.audited(), diff)
	}
}
