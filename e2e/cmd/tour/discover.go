package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
	"demo.example/e2e/record"
)

// callTheTool is all that the program of an agent has to do. The SDK's
// requests along the way are what the next chapters show.
func (t *tour) callTheTool(ctx context.Context) error {
	redirectURI, signIn, err := t.user(person.John)
	if err != nil {
		return err
	}
	t.john = &traveller{person: signIn.person}
	return t.travel(ctx, t.john, agent.Dynamic("Tour Agent", redirectURI), signIn.authorize)
}

// travel has an agent call the tool for the first time, which signs its user
// in.
func (t *tour) travel(ctx context.Context, who *traveller, registration agent.Registration, signIn agent.SignIn) error {
	var err error
	if who.agent, err = agent.New(t.deployment, registration, signIn); err != nil {
		return err
	}
	result, err := who.agent.Call(ctx, agent.Stateless)
	who.exchanges = who.agent.Record.Take()
	if err != nil {
		return fmt.Errorf("the agent's first call: %w", err)
	}
	who.answer, err = readAnswer(result)
	return err
}

// find returns the first exchange of the agent with a path that begins so.
func (w *traveller) find(method, host, path string) (record.Exchange, error) {
	for _, e := range w.exchanges {
		if e.Request.Method == method && strings.HasPrefix(e.Request.URL.Host, host+".") && strings.HasPrefix(e.Request.URL.Path, path) {
			return e, nil
		}
	}
	return record.Exchange{}, fmt.Errorf("the agent never sent %s %s to %s", method, path, host)
}

// discover: from a 401 to the place where one can sign in.
func (t *tour) discover(context.Context) error {
	t.heading("Discovery")

	t.title("The agent calls the MCP server, without a token")
	e, err := t.john.find(http.MethodPost, "mcp", "/")
	if err != nil {
		return err
	}
	t.exchange(e)
	if e.Status != http.StatusUnauthorized {
		return errors.New("the MCP server let an agent without a token in")
	}
	t.notice("the 401 is an invitation: it says where to read on (resource_metadata, RFC 9728)",
		"and what to ask for (scope). The gateway answered: the MCP server never saw the request.")

	t.title("Who issues tokens for this server?")
	if e, err = t.john.find(http.MethodGet, "mcp", "/.well-known/oauth-protected-resource"); err != nil {
		return err
	}
	t.exchange(e)
	t.notice("\"resource\" is what the agent must name in every request to the authorization server",
		"(RFC 8707), so that its token is good here and nowhere else.")

	t.title("What can that authorization server do?")
	if e, err = t.john.find(http.MethodGet, "login", "/.well-known/oauth-authorization-server"); err != nil {
		return err
	}
	t.exchange(e)
	t.notice("only S256 for PKCE, \"none\" for clients that can't keep a secret, iss in every response",
		"(RFC 9207), and two ways for a stranger to become a client: registration_endpoint and",
		"client_id_metadata_document_supported.")
	return nil
}
