package stocksmcp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// fixture describes all of them.
const fixture = "A fixture of the conformance suite."

// What the fixtures hand out: an image of one pixel and a sound of one sample,
// which the suite wants to decode.
var (
	pixel  = mustDecode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==")
	silent = mustDecode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=")
)

func mustDecode(s string) []byte {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return raw
}

func text(s string) mcp.Content { return &mcp.TextContent{Text: s} }

func image() mcp.Content { return &mcp.ImageContent{Data: pixel, MIMEType: "image/png"} }

func embedded(uri string) mcp.Content {
	return &mcp.EmbeddedResource{Resource: textResource(uri, "An embedded resource.")}
}

func textResource(uri, body string) *mcp.ResourceContents {
	return &mcp.ResourceContents{URI: uri, MIMEType: "text/plain", Text: body}
}

// addContentTools registers a tool for each kind of content.
func addContentTools(server *mcp.Server) {
	for name, content := range map[string][]mcp.Content{
		"test_simple_text":            {text("This is a simple text response for testing.")},
		"test_image_content":          {image()},
		"test_audio_content":          {&mcp.AudioContent{Data: silent, MIMEType: "audio/wav"}},
		"test_embedded_resource":      {embedded("test://embedded-resource")},
		"test_multiple_content_types": {text("Text."), image(), embedded("test://mixed-content-resource")},
	} {
		addTool(server, name, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: content}, nil
		})
	}
}

// addTool registers a tool that takes any arguments.
func addTool(server *mcp.Server, name string, call func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error)) {
	mcp.AddTool(server, &mcp.Tool{Name: name, Description: fixture},
		func(ctx context.Context, req *mcp.CallToolRequest, _ any) (*mcp.CallToolResult, any, error) {
			result, err := call(ctx, req)
			return result, nil, err
		})
}

func addResources(server *mcp.Server) {
	for uri, contents := range map[string]*mcp.ResourceContents{
		"test://static-text":      textResource("test://static-text", "The content of the static text resource."),
		"test://static-binary":    {URI: "test://static-binary", MIMEType: "image/png", Blob: pixel},
		"test://watched-resource": textResource("test://watched-resource", "A resource to subscribe to."),
	} {
		server.AddResource(&mcp.Resource{Name: strings.TrimPrefix(uri, "test://"), URI: uri, MIMEType: contents.MIMEType},
			func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
				return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{contents}}, nil
			})
	}
	server.AddResourceTemplate(&mcp.ResourceTemplate{Name: "template", URITemplate: "test://template/{id}/data", MIMEType: "application/json"},
		func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			id := strings.TrimSuffix(strings.TrimPrefix(req.Params.URI, "test://template/"), "/data")
			body, err := json.Marshal(map[string]any{"id": id, "templateTest": true, "data": "Data for ID: " + id})
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{
				{URI: req.Params.URI, MIMEType: "application/json", Text: string(body)},
			}}, err
		})
}

func addPrompts(server *mcp.Server) {
	argument := func(name string) *mcp.PromptArgument { return &mcp.PromptArgument{Name: name, Required: true} }
	for name, prompt := range map[string]struct {
		arguments []*mcp.PromptArgument
		content   func(arguments map[string]string) mcp.Content
	}{
		"test_simple_prompt": {nil, func(map[string]string) mcp.Content {
			return text("This is a simple prompt for testing.")
		}},
		"test_prompt_with_arguments": {[]*mcp.PromptArgument{argument("arg1"), argument("arg2")}, func(a map[string]string) mcp.Content {
			return text(fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", a["arg1"], a["arg2"]))
		}},
		"test_prompt_with_embedded_resource": {[]*mcp.PromptArgument{argument("resourceUri")}, func(a map[string]string) mcp.Content {
			return embedded(a["resourceUri"])
		}},
		"test_prompt_with_image": {nil, func(map[string]string) mcp.Content { return image() }},
	} {
		server.AddPrompt(&mcp.Prompt{Name: name, Description: fixture, Arguments: prompt.arguments},
			func(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
				return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: prompt.content(req.Params.Arguments)}}}, nil
			})
	}
}
