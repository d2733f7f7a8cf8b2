package stocksmcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// addDiagnosticTools registers the tools that show how a server behaves during
// a call, rather than what it returns.
func addDiagnosticTools(server *mcp.Server) {
	addTool(server, "test_error_handling", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, errors.New("this tool intentionally returns an error")
	})
	addTool(server, "test_tool_with_progress", reportProgress)
	addTool(server, "test_streaming_elicitation", reportProgress)
	addTool(server, "test_tool_with_logging", logThrice)
	addTool(server, "test_logging_tool", logThrice)
	addTool(server, "test_missing_capability", needSampling)
	addTool(server, "test_sampling", func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		result, err := req.Session.CreateMessage(ctx, askModel("Say something.").(*mcp.CreateMessageParams))
		if err != nil {
			return nil, err
		}
		return done("The model said: %v", result.Content)
	})
	for _, name := range []string{"test_elicitation", "test_elicitation_sep1034_defaults", "test_elicitation_sep1330_enums"} {
		addTool(server, name, func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			result, err := req.Session.Elicit(ctx, askUser("name", "string").(*mcp.ElicitParams))
			if err != nil {
				return nil, err
			}
			return done("The user said: %s", result.Action)
		})
	}
	addTool(server, "test_reconnection", func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		req.Extra.CloseSSEStream(mcp.CloseSSEStreamArgs{RetryAfter: 10 * time.Millisecond})
		return done("The client came back.")
	})
	addTool(server, "test_trigger_tool_change", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		addTool(server, "test_new_tool", logThrice)
		return done("There is a new tool.")
	})
	addTool(server, "test_trigger_prompt_change", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		server.AddPrompt(&mcp.Prompt{Name: "test_new_prompt", Description: fixture}, promptThatAsks)
		return done("There is a new prompt.")
	})
	mcp.AddTool(server, &mcp.Tool{Name: "test_x_mcp_header", Description: fixture, InputSchema: json.RawMessage(
		`{"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}`)},
		func(_ context.Context, _ *mcp.CallToolRequest, in struct {
			Region string `json:"region,omitempty"`
		}) (*mcp.CallToolResult, any, error) {
			result, err := done("region=%s", in.Region)
			return result, nil, err
		})
	mcp.AddTool(server, &mcp.Tool{Name: "json_schema_2020_12_tool", Description: fixture, InputSchema: json.RawMessage(wideSchema)},
		func(context.Context, *mcp.CallToolRequest, any) (*mcp.CallToolResult, any, error) {
			result, err := done("The arguments fit the schema.")
			return result, nil, err
		})
}

func reportProgress(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for _, percent := range []float64{0, 50, 100} {
		err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
			ProgressToken: req.Params.GetProgressToken(), Progress: percent, Total: 100, Message: fmt.Sprintf("%v %%", percent),
		})
		if err != nil {
			return nil, err
		}
	}
	return done("All of it is done.")
}

func logThrice(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for _, message := range []string{"begun", "under way", "completed"} {
		if err := req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: message}); err != nil {
			return nil, err
		}
	}
	return done("Three messages were logged.")
}

// needSampling refuses clients without a model of their own.
func needSampling(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if can := req.ClientCapabilities(); can != nil && can.Sampling != nil {
		return done("The client has a model.")
	}
	data, err := json.Marshal(mcp.MissingRequiredClientCapabilityData{
		RequiredCapabilities: &mcp.ClientCapabilities{Sampling: &mcp.SamplingCapabilities{}},
	})
	if err != nil {
		return nil, err
	}
	return nil, &jsonrpc.Error{Code: mcp.CodeMissingRequiredClientCapabilities, Message: "the client cannot sample", Data: data}
}

// wideSchema uses what is new in JSON Schema 2020-12, all of which has to
// reach the client (SEP-1613, SEP-2106).
const wideSchema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
	"properties": {
		"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
		"contactMethod": {"type": "string", "enum": ["phone", "email"]}, "phone": {"type": "string"}, "email": {"type": "string"}
	},
	"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
	"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
	"then": {"required": ["phone"]}, "else": {"required": ["email"]},
	"additionalProperties": false
}`
