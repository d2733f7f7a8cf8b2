package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// orderResult is what place-order answers.
type orderResult struct {
	Status string `json:"status"`
	Order  struct {
		ID            string `json:"id"`
		Symbol        string `json:"symbol"`
		Quantity      int    `json:"quantity"`
		ExecutedPrice string `json:"executed_price"`
	} `json:"order"`
}

// trade is an agent whose user John is there to sign in and to decide.
type trade struct {
	john     *person.Person
	asked    []string // scopes of each authorization
	passcode []bool   // whether it took a new passcode
	visited  []string // pages of orders
}

func (tr *trade) signIn(ctx context.Context, address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	tr.john.Pages()
	callback, err := tr.john.Authorize(ctx, address, person.Allow)
	tr.asked = append(tr.asked, u.Query().Get("scope"))
	tr.passcode = append(tr.passcode, slices.ContainsFunc(tr.john.Pages(), func(p *person.Page) bool { return p.Asks("passcode") }))
	return callback, err
}

// decide opens the page of an order, signs in where asked, and decides.
func (tr *trade) decide(ctx context.Context, address, decision string, wants ...string) error {
	tr.visited = append(tr.visited, address)
	page, err := tr.john.Open(ctx, address)
	for steps := 0; err == nil && steps < 6; steps++ {
		if page.Offers("decision", decision) {
			for _, want := range wants {
				if !strings.Contains(page.Text, want) {
					return fmt.Errorf("the page of the order does not say %q: %s", want, page.Text)
				}
			}
			done, err := tr.john.Submit(ctx, page, url.Values{"decision": {decision}})
			if err == nil && done.Status != http.StatusOK {
				err = fmt.Errorf("the decision was answered %d: %s", done.Status, done.Text)
			}
			return err
		}
		page, err = tr.john.Answer(ctx, page, decision)
	}
	return errors.Join(err, errors.New("the page of the order was never reached"))
}

// someStock returns a stock of the user's region.
func someStock(t *testing.T, session *mcp.ClientSession) string {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: agent.Tool})
	return toolStocks(t, result, err).Stocks[0].Symbol
}

// TestStepUpAndApproval: an agent that may read calls place-order. The SDK's
// own handler is challenged (403, insufficient_scope), asks for all scopes that
// the operation needs, and the user signs in once more, with a new passcode.
// Then the user approves the order on a page of the authorization server, and
// only then it is placed; another one they decline.
func TestStepUpAndApproval(t *testing.T) {
	tr := &trade{john: person.New(demo.Deployment, person.John)}
	a, err := agent.New(demo.Deployment, agent.Document(demo.ClientDocument(), redirect), tr.signIn)
	if err != nil {
		t.Fatal(err)
	}
	decision := person.Allow
	var symbol string
	session, err := a.ConnectWithUser(t.Context(), agent.Stateless, func(ctx context.Context, address string) error {
		return tr.decide(ctx, address, decision, symbol, "7")
	})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	symbol = someStock(t, session)
	before, err := a.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.Record.Take()

	// A sign-in of the last five minutes would do for stocks/trade. This
	// browser has none, so the user shows again who they are.
	tr.john = person.New(demo.Deployment, person.John)
	buy := map[string]any{"symbol": symbol, "side": "buy", "quantity": 7, "limit_price": "99999"}
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "place-order", Arguments: buy})
	if err != nil || result.IsError {
		t.Fatalf("place-order: %v, %+v", err, result)
	}
	got := decode[orderResult](t, result.StructuredContent)
	if got.Status != "executed" || got.Order.Symbol != symbol || got.Order.Quantity != 7 || got.Order.ExecutedPrice == "" {
		t.Errorf("placed %+v", got)
	}
	challenged := false
	for _, e := range a.Record.Take() {
		challenge := e.Header.Get("WWW-Authenticate")
		challenged = challenged || e.Status == http.StatusForbidden && strings.Contains(challenge, `error="insufficient_scope"`) &&
			strings.Contains(challenge, `scope="stocks/read stocks/trade"`) && strings.Contains(challenge, "resource_metadata=")
	}
	if !challenged {
		t.Error("the agent was never challenged for more scope")
	}
	if len(tr.asked) != 2 || !slices.Contains(strings.Fields(tr.asked[1]), "stocks/read") || !slices.Contains(strings.Fields(tr.asked[1]), "stocks/trade") ||
		slices.Contains(strings.Fields(tr.asked[0]), "stocks/trade") {
		t.Errorf("asked for the scopes %q", tr.asked)
	}
	if diff := cmp.Diff([]bool{true, true}, tr.passcode); diff != "" {
		t.Errorf("a passcode at each sign-in (-want +got):\n%s", diff)
	}
	if len(tr.visited) != 1 {
		t.Errorf("the user was sent to %q", tr.visited)
	}

	// The token from before the step-up still reads, and still does not trade.
	want2xx(t, before.AccessToken)

	decision = person.Deny
	result, err = session.CallTool(t.Context(), &mcp.CallToolParams{Name: "place-order", Arguments: buy})
	if err != nil || result.IsError || decode[orderResult](t, result.StructuredContent).Status != "declined" {
		t.Errorf("declined: %v, %+v", err, result)
	}
	if len(tr.visited) != 2 || tr.visited[0] == tr.visited[1] {
		t.Errorf("the user was sent to %q: an approval is for one order", tr.visited)
	}
}

// TestApprovalInTheOlderEra: a client of 2025-11-25 is asked by an error, and
// calls again when its user has decided.
func TestApprovalInTheOlderEra(t *testing.T) {
	tr := &trade{john: person.New(demo.Deployment, person.John)}
	a, err := agent.New(demo.Deployment, agent.Document(demo.ClientDocument(), redirect), tr.signIn)
	if err != nil {
		t.Fatal(err)
	}
	session, err := a.Connect(t.Context(), agent.Initialize)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	symbol := someStock(t, session)
	sell := &mcp.CallToolParams{Name: "place-order", Arguments: map[string]any{"symbol": symbol, "side": "sell", "quantity": 3, "limit_price": "1"}}
	_, err = session.CallTool(t.Context(), sell)
	rpc, ok := errors.AsType[*jsonrpc.Error](err)
	if !ok || rpc.Code != mcp.CodeURLElicitationRequired {
		t.Fatalf("place-order: %v, want the error that asks for a visit", err)
	}
	data := decode[struct {
		Elicitations []mcp.ElicitParams `json:"elicitations"`
	}](t, []byte(rpc.Data))
	if len(data.Elicitations) != 1 || !strings.Contains(rpc.Message, data.Elicitations[0].URL) {
		t.Fatalf("%s: %s", rpc.Message, rpc.Data)
	}
	if err := tr.decide(t.Context(), data.Elicitations[0].URL, person.Allow, symbol, "3"); err != nil {
		t.Fatal(err)
	}
	result, err := session.CallTool(t.Context(), sell)
	if err != nil || result.IsError {
		t.Fatalf("after the approval: %v, %+v", err, result)
	}
	if got := decode[orderResult](t, result.StructuredContent); got.Status != "executed" || got.Order.Symbol != symbol {
		t.Errorf("placed %+v", got)
	}
}
