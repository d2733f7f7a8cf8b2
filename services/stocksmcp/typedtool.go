package stocksmcp

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// addTypedTool adds a tool whose structured answer is an Out. It does as mcp.AddTool
// does but for one thing: the SDK would parse each answer again and hold it
// against the schema, which was made from the type of the answer. That took a
// fifth of the CPU of a whole call, gateway and API included.
func addTypedTool[In, Out any](server *mcp.Server, tool *mcp.Tool, call mcp.ToolHandlerFor[In, Out]) {
	schema, err := jsonschema.For[Out](&jsonschema.ForOptions{})
	if err != nil {
		panic(fmt.Sprintf("tool %s: %v", tool.Name, err)) // as mcp.AddTool: the type is wrong, whatever is called
	}
	tool.OutputSchema = schema
	mcp.AddTool(server, tool, func(ctx context.Context, req *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
		result, out, err := call(ctx, req, in)
		if err != nil || result.InputRequests != nil { // which are asked instead of an answer
			return result, nil, err
		}
		structured, err := json.Marshal(out)
		if err != nil {
			return nil, nil, fmt.Errorf("tool %s: %w", tool.Name, err)
		}
		result.StructuredContent = json.RawMessage(structured)
		return result, nil, nil
	})
}
