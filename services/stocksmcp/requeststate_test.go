package stocksmcp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/config"
	"demo.example/services/internal/token"
)

func buyDetails() token.AuthorizationDetail {
	return token.AuthorizationDetail{Type: token.StockOrder, Symbol: "ALDP", Side: "buy", Quantity: 10, LimitPrice: "400", Currency: "USD"}
}

func TestStateSigner(t *testing.T) {
	signer := newStateSigner(testSecret)
	w := waitingOrder{Approval: "A", Order: buyDetails(), Subject: "u", ClientID: "c", GrantID: "g", Expires: 7}
	state, err := signer.seal(w)
	if err != nil {
		t.Fatal(err)
	}
	got, err := signer.open(state)
	if diff := cmp.Diff(w, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := newStateSigner(config.Secret(testSecret + "x")).open(state); !errors.Is(err, stateForged) {
		t.Errorf("another secret: %v", err)
	}
	for i := range state {
		changed := []byte(state)
		changed[i] ^= 1
		if _, err := signer.open(string(changed)); !errors.Is(err, stateForged) {
			t.Errorf("changed at %d: %v", i, err)
		}
	}
	for _, bad := range []string{"", ".", "x", state + "A", state + "=", state + "\n", " " + state, state + "." + state, strings.Split(state, ".")[0], strings.Split(state, ".")[0] + "."} {
		if _, err := signer.open(bad); !errors.Is(err, stateForged) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if strings.Contains(state, testSecret) {
		t.Error("the state shows the secret")
	}
}

// FuzzStateSigner: nothing opens that was not sealed.
func FuzzStateSigner(f *testing.F) {
	signer := newStateSigner(testSecret)
	sealed, _ := signer.seal(waitingOrder{Approval: "A"})
	f.Add(sealed)
	f.Add("e30.e30")
	f.Add("")
	f.Fuzz(func(t *testing.T, state string) {
		if _, err := signer.open(state); err == nil && state != sealed {
			t.Errorf("%q opened", state)
		}
	})
}

// resume calls place-order with a state, as a client of the newer era does.
func (c *chain) resume(t *testing.T, bearer, arguments, state string) string {
	t.Helper()
	extra := ""
	if state != "" {
		encoded, _ := json.Marshal(state)
		extra = `"requestState":` + string(encoded) + `,"inputResponses":{"approval":{"action":"accept"}},`
	}
	capable := strings.Replace(meta, `clientCapabilities":{}`, `clientCapabilities":{"elicitation":{"url":{}}}`, 1)
	body := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"place-order","arguments":` + arguments + `,` + extra + capable + `}}`
	resp, answer := c.request(t, http.MethodPost, body, modern(map[string]string{"Mcp-Name": "place-order", "Authorization": "Bearer " + bearer}))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	result, _ := json.Marshal(message(t, resp, answer)["result"])
	return string(result)
}

// TestRequestState: a state is good for the call that it was given for, in the
// hands of whom it was given to, for as long as the approval, and for one order.
func TestRequestState(t *testing.T) {
	const arguments = `{"symbol":"ALDP","side":"buy","quantity":10,"limit_price":"400"}`
	c := newChain(t)
	mine := c.trader(nil)
	var asked struct {
		ResultType   string `json:"resultType"`
		RequestState string `json:"requestState"`
	}
	first := c.resume(t, mine, arguments, "")
	if err := json.Unmarshal([]byte(first), &asked); err != nil || asked.ResultType != "input_required" || asked.RequestState == "" {
		t.Fatalf("%v %s", err, first)
	}
	c.decide("approved")
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(asked.RequestState, ".")[0])
	raised := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), `"quantity":10`, `"quantity":99`, 1))) +
		"." + strings.Split(asked.RequestState, ".")[1]
	expired, err := newStateSigner(testSecret).seal(waitingOrder{Approval: "APPROVAL1", Order: buyDetails(), Subject: "user-1",
		ClientID: "client-1", GrantID: "grant-1", Expires: time.Now().Unix()})
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := newStateSigner(testSecret).seal(waitingOrder{Approval: "APPROVAL9", Order: buyDetails(), Subject: "user-1",
		ClientID: "client-1", GrantID: "grant-1", Expires: time.Now().Unix() + 60})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		bearer, arguments, state string
		want                     explanation
	}{
		"forged":            {mine, arguments, "e30.e30", stateForged},
		"changed":           {mine, strings.Replace(arguments, "10", "99", 1), raised, stateForged},
		"other quantity":    {mine, strings.Replace(arguments, "10", "99", 1), asked.RequestState, stateForeign},
		"other limit":       {mine, strings.Replace(arguments, "400", "401", 1), asked.RequestState, stateForeign},
		"other side":        {mine, strings.Replace(arguments, "buy", "sell", 1), asked.RequestState, stateForeign},
		"other symbol":      {mine, strings.Replace(arguments, "ALDP", "BMSE", 1), asked.RequestState, stateForeign},
		"other user":        {c.trader(map[string]any{"sub": "user-2"}), arguments, asked.RequestState, stateForeign},
		"other client":      {c.trader(map[string]any{"client_id": "client-2"}), arguments, asked.RequestState, stateForeign},
		"other sign-in":     {c.trader(map[string]any{"grant_id": "grant-2"}), arguments, asked.RequestState, stateForeign},
		"expired":           {mine, arguments, expired, stateExpired},
		"forgotten already": {mine, arguments, unknown, stateExpired},
	}
	for name, tt := range tests {
		if got := c.resume(t, tt.bearer, tt.arguments, tt.state); !strings.Contains(got, string(tt.want)) || !strings.Contains(got, `"isError":true`) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if len(c.placed) != 0 {
		t.Fatal("an order was placed")
	}
	if got := c.resume(t, mine, arguments, asked.RequestState); !strings.Contains(got, `"status":"executed"`) {
		t.Errorf("the rightful one: %s", got)
	}
	if got := c.resume(t, mine, arguments, asked.RequestState); !strings.Contains(got, "used already") || !strings.Contains(got, `"isError":true`) || len(c.placed) != 1 {
		t.Errorf("once more: %s", got)
	}
}
