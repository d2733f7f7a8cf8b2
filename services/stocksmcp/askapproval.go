package stocksmcp

import (
	"errors"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/services/internal/token"
)

// question is the id of the one input request that place-order makes.
const question = "approval"

// statelessEra is the first version of the protocol in which a server asks by
// the result of a call, and the client answers by calling again.
const statelessEra = "2026-07-28"

const notWanted = "The user declined the order. Nothing was placed. Do not place it again unless the user asks for it."

// question asks the client to send its user to the page where the order is
// decided (MCP, URL mode elicitation). There are three ways, by what the
// client understands.
func (t *placeOrder) question(req *mcp.CallToolRequest, w waitingOrder, a approval) (*mcp.CallToolResult, error) {
	ask := &mcp.ElicitParams{
		Mode: "url", URL: a.URI, ElicitationID: a.ID,
		Message: fmt.Sprintf("Approve or decline the order: %s. The page is the authorization server's, and may ask you to sign in.", orderInWords(w.Order)),
	}
	inWords := fmt.Sprintf("The order (%s) waits for the user's approval. Ask the user to open %s in a browser, to sign in and to approve it. "+
		"Then call place-order again with the same arguments.", orderInWords(w.Order), a.URI)
	if req.ProtocolVersion() < statelessEra {
		// What the client can do was said with initialize, which a server
		// without sessions does not remember. So the error asks those that
		// understand it, and says it in words to the others.
		err := mcp.URLElicitationRequiredError([]*mcp.ElicitParams{ask})
		if rpc, ok := errors.AsType[*jsonrpc.Error](err); ok {
			rpc.Message = inWords
		}
		return nil, err
	}
	capabilities := req.ClientCapabilities()
	if capabilities == nil || capabilities.Elicitation == nil || capabilities.Elicitation.URL == nil {
		return nil, explanation(inWords)
	}
	state, err := t.States.seal(w)
	if err != nil {
		return nil, err
	}
	return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{question: ask}, RequestState: state}, nil
}

// orderInWords says an order as a person would.
func orderInWords(o token.AuthorizationDetail) string {
	limit := "at most"
	if o.Side == "sell" {
		limit = "at least"
	}
	return fmt.Sprintf("%s %d %s, %s %s %s a share", o.Side, o.Quantity, o.Symbol, limit, o.LimitPrice, o.Currency)
}
