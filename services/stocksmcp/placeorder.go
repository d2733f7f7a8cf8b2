package stocksmcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

const placeOrderName = "place-order"

// placeOrder is the tool place-order. A client never places an order by its
// own decision: the user approves each one on a page of the authorization
// server, and only the token that this yields places it.
type placeOrder struct {
	Upstream  *upstream
	Approvals *approvals
	States    stateSigner
	Now       func() time.Time
	Log       *slog.Logger
}

// orderArguments are the tool's arguments.
type orderArguments struct {
	Symbol     string `json:"symbol"`
	Side       string `json:"side"`
	Quantity   int    `json:"quantity"`
	LimitPrice string `json:"limit_price"`
}

// orderOutcome is its structured answer.
type orderOutcome struct {
	Status string `json:"status" jsonschema:"executed, or declined when the user did not want the order"`
	Order  *order `json:"order,omitempty" jsonschema:"the order, when there is one"`
}

func (t *placeOrder) addTo(server *mcp.Server) {
	destructive, closedWorld := true, false
	addTypedTool(server, &mcp.Tool{
		Name:  placeOrderName,
		Title: "Place an order",
		Description: "Buys or sells shares of one stock in the region of the signed-in user, at once and at the limit or better, or not at all. " +
			"The user has to approve the order on a page that this tool asks to open. Use it only for an order that the user asked for.",
		InputSchema: json.RawMessage(fmt.Appendf(nil, `{"type": "object", "additionalProperties": false,
			"required": ["symbol", "side", "quantity", "limit_price"], "properties": {
			"symbol": %s,
			"side": {"type": "string", "enum": ["buy", "sell"]},
			"quantity": {"type": "integer", "minimum": 1, "maximum": %d, "description": "shares"},
			"limit_price": {"type": "string", "pattern": %q,
				"description": "decimal number, in the currency of the stock: the most to pay for a share, or the least to sell one for"}}}`,
			symbolSchema, token.MaxOrderQuantity, token.LimitPriceForm())),
		// Money is spent, and calling again spends it again.
		Annotations: &mcp.ToolAnnotations{
			Title: "Place an order", DestructiveHint: &destructive, OpenWorldHint: &closedWorld,
		},
	}, t.call)
}

// call is the tool's handler.
func (t *placeOrder) call(ctx context.Context, req *mcp.CallToolRequest, in orderArguments) (*mcp.CallToolResult, orderOutcome, error) {
	result, outcome, err := t.place(ctx, req, in)
	if asked, ok := errors.AsType[*jsonrpc.Error](err); ok { // as clients of the older era are
		_ = finish(ctx, t.Log, placeOrderName, nil, "decision", pending)
		return nil, orderOutcome{}, asked
	}
	decision := outcome.Status
	if result != nil && result.InputRequests != nil {
		decision = pending
	}
	if err := finish(ctx, t.Log, placeOrderName, err, "decision", decision); err != nil {
		return nil, orderOutcome{}, err
	}
	return result, outcome, nil
}

// place asks the user, or goes on where the user was asked before.
func (t *placeOrder) place(ctx context.Context, req *mcp.CallToolRequest, in orderArguments) (*mcp.CallToolResult, orderOutcome, error) {
	claims := token.ClaimsFrom(ctx)
	if !oauth.HasScope(claims.Scope, oauth.ScopeStocksTrade) { // requireScopes has seen to it
		return nil, orderOutcome{}, explanation("This client may not trade: it needs the scopes " + tradeScopes + ".")
	}
	var waiting waitingOrder
	var decision approval
	var err error
	if req.Params.RequestState != "" {
		waiting, decision, err = t.goOn(ctx, req, in)
	} else {
		waiting, decision, err = t.ask(ctx, req, in)
	}
	if err != nil {
		return nil, orderOutcome{}, err
	}
	switch decision.Status {
	case approved:
		return t.execute(ctx, waiting)
	case declined:
		return said(notWanted), orderOutcome{Status: declined}, nil
	}
	result, err := t.question(req, waiting, decision)
	return result, orderOutcome{}, err
}

// ask checks the order as far as that spares the user a question in vain, and
// puts it to the user.
func (t *placeOrder) ask(ctx context.Context, req *mcp.CallToolRequest, in orderArguments) (w waitingOrder, a approval, err error) {
	claims := token.ClaimsFrom(ctx)
	if claims.ClientAssuranceLevel < 2 { // the stocks API would refuse the approved order
		return w, a, explanation(fmt.Sprintf("Orders need client_assurance_level 2, and this client has %d. "+
			"Use a client with a metadata document or one that authenticates with a key.", claims.ClientAssuranceLevel))
	}
	s, err := t.Upstream.get(ctx, strings.ToUpper(in.Symbol))
	if err != nil {
		return w, a, err
	}
	_, has, _ := strings.Cut(in.LimitPrice, ".")
	if _, may, _ := strings.Cut(s.Price, "."); len(has) > len(may) {
		return w, a, explanation(fmt.Sprintf("limit_price has too many decimal places: prices in %s have %d.", s.Currency, len(may)))
	}
	details := token.AuthorizationDetail{
		Type: token.StockOrder, Symbol: s.Symbol, Side: in.Side, Quantity: in.Quantity, LimitPrice: in.LimitPrice, Currency: s.Currency,
	}
	a, err = t.Approvals.ask(ctx, token.RawFrom(ctx), details)
	if err != nil {
		return w, a, err
	}
	w = waitingOrder{
		Approval: a.ID, Order: details, Subject: claims.Subject, ClientID: claims.ClientID, GrantID: claims.GrantID,
		Expires: t.Now().Unix() + int64(a.ExpiresIn),
	}
	if a.Status == pending && !a.created { // the user was told of it before, and may be reading it
		a, err = t.Approvals.wait(ctx, a.ID, reporter(ctx, req))
	}
	return w, a, err
}

// goOn takes up an order whose user was asked in an earlier round.
func (t *placeOrder) goOn(ctx context.Context, req *mcp.CallToolRequest, in orderArguments) (w waitingOrder, a approval, err error) {
	if w, err = t.States.open(req.Params.RequestState); err != nil {
		return w, a, err
	}
	if err := w.check(token.ClaimsFrom(ctx), in, t.Now()); err != nil {
		return w, a, err
	}
	// Accepting means that the user went to the page. What they decided there
	// only the authorization server knows.
	if answer, ok := req.Params.InputResponses[question].(*mcp.ElicitResult); ok && answer.Action != "accept" {
		return w, approval{Status: declined}, nil
	}
	a, err = t.Approvals.wait(ctx, w.Approval, reporter(ctx, req))
	return w, a, err
}

// execute places an approved order. It goes on when the client hangs up: the
// approval is used by then, and half of this is worse than all.
func (t *placeOrder) execute(ctx context.Context, w waitingOrder) (*mcp.CallToolResult, orderOutcome, error) {
	ctx = context.WithoutCancel(ctx) // each of the two calls has a bound of its own
	apiToken, err := t.Upstream.Tokens.approvedToken(ctx, token.RawFrom(ctx), t.Upstream.Audience, w.Approval)
	if err != nil {
		return nil, orderOutcome{}, err
	}
	placed, err := t.Upstream.Stocks.order(ctx, apiToken, w.Order)
	if err != nil {
		return nil, orderOutcome{}, err
	}
	audit.On(ctx).Writes = true
	return said(orderText(placed)), orderOutcome{Status: placed.Status, Order: &placed}, nil
}

// said is a result in words.
func said(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}
