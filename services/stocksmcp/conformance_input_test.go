package stocksmcp

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// answers is what a client sends with a repeated request: what its user, its
// model or its file system said, and the state that the server gave it to keep
// (MCP 2026-07-28, multi round-trip requests).
type answers struct {
	mcp.InputResponseMap
	state string
}

// field returns a field of a form that the user filled in, "" if that has not
// happened.
func (a answers) field(request, name string) string {
	form, ok := a.InputResponseMap[request].(*mcp.ElicitResult)
	if !ok || form.Action != "accept" || form.Content[name] == nil {
		return ""
	}
	return fmt.Sprint(form.Content[name])
}

// sampled returns the text that the client's model made.
func (a answers) sampled(request string) string {
	message, ok := a.InputResponseMap[request].(*mcp.CreateMessageWithToolsResult)
	if !ok || len(message.Content) != 1 {
		return ""
	}
	content, _ := message.Content[0].(*mcp.TextContent)
	if content == nil {
		return ""
	}
	return content.Text
}

// roots returns the client's roots, nil if it was not asked.
func (a answers) roots() []*mcp.Root {
	list, ok := a.InputResponseMap["client_roots"].(*mcp.ListRootsResult)
	if !ok {
		return nil
	}
	return list.Roots
}

func askUser(field, kind string) mcp.InputRequest {
	return &mcp.ElicitParams{Message: "Please fill in: " + field, RequestedSchema: map[string]any{
		"type": "object", "properties": map[string]any{field: map[string]any{"type": kind}}, "required": []string{field},
	}}
}

func askModel(prompt string) mcp.InputRequest {
	return &mcp.CreateMessageParams{Messages: []*mcp.SamplingMessage{{Role: "user", Content: text(prompt)}}, MaxTokens: 50}
}

// done and more are the two ways in which a tool that asks can answer.
func done(format string, args ...any) (*mcp.CallToolResult, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{text(fmt.Sprintf(format, args...))}}, nil
}

func more(requests mcp.InputRequestMap, state string) (*mcp.CallToolResult, error) {
	if state != "" {
		state = seal(state)
	}
	return &mcp.CallToolResult{InputRequests: requests, RequestState: state}, nil
}

// addInputTools registers the tools that ask before they answer.
func addInputTools(server *mcp.Server) {
	for name, call := range map[string]func(answers) (*mcp.CallToolResult, error){
		"test_input_required_result_elicitation": func(a answers) (*mcp.CallToolResult, error) {
			if name := a.field("user_name", "name"); name != "" {
				return done("Hello, %s!", name)
			}
			return more(mcp.InputRequestMap{"user_name": askUser("name", "string")}, "")
		},
		"test_input_required_result_sampling": func(a answers) (*mcp.CallToolResult, error) {
			if said := a.sampled("capital_question"); said != "" {
				return done("The model said: %s", said)
			}
			return more(mcp.InputRequestMap{"capital_question": askModel("What is the capital of France?")}, "")
		},
		"test_input_required_result_list_roots": func(a answers) (*mcp.CallToolResult, error) {
			if roots := a.roots(); roots != nil {
				return done("The first of %d roots: %s", len(roots), roots[0].URI)
			}
			return more(mcp.InputRequestMap{"client_roots": &mcp.ListRootsParams{}}, "")
		},
		"test_input_required_result_request_state":  confirmed,
		"test_input_required_result_tampered_state": confirmed,
		"test_input_required_result_multiple_inputs": func(a answers) (*mcp.CallToolResult, error) {
			name, greeting, roots := a.field("user_name", "name"), a.sampled("greeting"), a.roots()
			if name != "" && greeting != "" && roots != nil {
				return done("%s, %s: %d roots", greeting, name, len(roots))
			}
			return more(mcp.InputRequestMap{
				"user_name": askUser("name", "string"), "greeting": askModel("Greet somebody."), "client_roots": &mcp.ListRootsParams{},
			}, "asked")
		},
		"test_input_required_result_multi_round": func(a answers) (*mcp.CallToolResult, error) {
			name, second := strings.CutPrefix(a.state, "name=")
			switch {
			case second:
				return done("%s likes %s", name, a.field("step2", "color"))
			case a.state == "":
				return more(mcp.InputRequestMap{"step1": askUser("name", "string")}, "first")
			}
			return more(mcp.InputRequestMap{"step2": askUser("color", "string")}, "name="+a.field("step1", "name"))
		},
	} {
		addTool(server, name, func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			state, err := unseal(req.Params.RequestState)
			if err != nil {
				return nil, err
			}
			return call(answers{req.Params.InputResponses, state})
		})
	}
	addTool(server, "test_input_required_result_capabilities", askWhatClientCan)
	server.AddPrompt(&mcp.Prompt{Name: "test_input_required_result_prompt", Description: fixture}, promptThatAsks)
}

// confirmed answers once the user agreed and the state came back.
func confirmed(a answers) (*mcp.CallToolResult, error) {
	if a.state != "" && a.field("confirm", "ok") == "true" {
		return done("state-ok")
	}
	return more(mcp.InputRequestMap{"confirm": askUser("ok", "boolean")}, "asked")
}

// askWhatClientCan asks for no more than the client says it can do.
func askWhatClientCan(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	can, requests := req.ClientCapabilities(), mcp.InputRequestMap{}
	if can != nil && can.Elicitation != nil {
		requests["user_name"] = askUser("name", "string")
	}
	if can != nil && can.Sampling != nil {
		requests["greeting"] = askModel("Greet somebody.")
	}
	if len(req.Params.InputResponses) > 0 || len(requests) == 0 {
		return done("Asked for no more than the client can do.")
	}
	return more(requests, "")
}

// promptThatAsks is a prompt that needs to know something first.
func promptThatAsks(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	said := answers{InputResponseMap: req.Params.InputResponses}.field("user_context", "context")
	if said == "" {
		return &mcp.GetPromptResult{InputRequests: mcp.InputRequestMap{"user_context": askUser("context", "string")}}, nil
	}
	return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: text("Context: " + said)}}}, nil
}

var sealKey = []byte(rand.Text())

// seal signs a state, for a client could change what it is given to keep.
func seal(state string) string { return state + "." + mac(state) }

func unseal(sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	at := strings.LastIndexByte(sealed, '.')
	if at < 0 || !hmac.Equal([]byte(mac(sealed[:at])), []byte(sealed[at+1:])) {
		return "", &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the requestState is not what this server gave out"}
	}
	return sealed[:at], nil
}

func mac(state string) string {
	h := hmac.New(sha256.New, sealKey)
	h.Write([]byte(state))
	return hex.EncodeToString(h.Sum(nil))
}
