package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"demo.example/e2e/agent"
	"demo.example/e2e/deployment"
	"demo.example/e2e/record"
)

// hops: one call, three tokens. The two JWTs never leave the inside of the
// deployment, so the tour asks for them as its operator, with the services'
// own credentials.
func (t *tour) hops(ctx context.Context) error {
	t.heading("One call, three tokens")
	token, err := t.john.agent.Token(ctx)
	if err != nil {
		return err
	}
	opaque := token.AccessToken

	t.title("Agent → gateway: the opaque token")
	e, err := t.john.withToken()
	if err != nil {
		return err
	}
	t.exchange(e)
	t.notice("this is the first call once more, now with " + record.Fingerprint(opaque) + ".")

	watch, operator := t.operator()
	gateway, err := client(t.deployment, "gateway")
	if err != nil {
		return err
	}
	t.title("Gateway → authorization server: what is behind this token?")
	t.say("  %s", t.paint(faint, "(asked by the tour, with the gateway's credential from RUN_DIR/secrets)"))
	answer, err := gateway.Phantom(ctx, operator, opaque)
	if err != nil {
		return err
	}
	t.showLast(watch)
	if answer.Status != http.StatusOK || answer.Header.Get("Content-Type") != "application/jwt" {
		return errors.New("the authorization server does not tell the gateway what is behind the token")
	}
	mcpJWT := string(answer.Body)

	t.title("Gateway → MCP server: a JWT for the MCP server")
	if err := t.claims(mcpJWT); err != nil {
		return err
	}
	t.notice("this \"phantom token\" takes the place of the opaque one, which ends at the gateway. aud",
		"names the MCP server alone; client_type and client_assurance_level say what sort of",
		"client acts, region what this user may see.")

	server, err := client(t.deployment, "stocksmcp")
	if err != nil {
		return err
	}
	t.title("MCP server → authorization server: token exchange (RFC 8693)")
	t.say("  %s", t.paint(faint, "(asked by the tour, with the MCP server's credential from RUN_DIR/secrets)"))
	answer, err = server.Exchange(ctx, operator, mcpJWT)
	if err != nil {
		return err
	}
	t.showLast(watch)
	if answer.Status != http.StatusOK {
		return errors.New("the authorization server refuses the exchange")
	}

	t.title("MCP server → stocks API: a JWT for the API")
	apiJWT := answer.Text("access_token")
	if err := t.claims(apiJWT); err != nil {
		return err
	}
	t.notice("aud is now the API alone, act says who acts for the user, and the rest stayed: the MCP",
		"server can pass on no more than it was given.")

	t.title("Which hop saw what")
	for _, row := range [][3]string{
		{"agent → gateway", record.Fingerprint(opaque), "good at the gateway, says nothing"},
		{"gateway → MCP server", record.Fingerprint(mcpJWT), "aud " + t.deployment.MCPResource()},
		{"MCP server → stocks API", record.Fingerprint(apiJWT), "aud " + t.deployment.APIResource() + ", act stocksmcp"},
	} {
		t.say("      %-25s %-18s %s", row[0], row[1], row[2])
	}
	t.notice("three hops, three tokens. None of them is good at two places.")
	return t.shortcut(ctx, apiJWT)
}

// shortcut is what a thief would try with the last of them.
func (t *tour) shortcut(ctx context.Context, jwt string) error {
	t.title("A shortcut that does not work: the API's JWT at the front door")
	watch, public := t.operator()
	if _, err := agent.Get(ctx, public.Client(), t.deployment.APIResource()+"/stocks", jwt); err != nil {
		return err
	}
	for _, e := range watch.Take() {
		t.exchange(e)
		if e.Status != http.StatusUnauthorized {
			return errors.New("the gateway took a JWT")
		}
	}
	t.notice("the audience is right, and still: clients hold opaque tokens. One that comes with a",
		"JWT got it where no client should.")
	return nil
}

// withToken returns the agent's first exchange with the MCP server that had a
// token.
func (w *traveller) withToken() (record.Exchange, error) {
	for _, e := range w.exchanges {
		if strings.HasPrefix(e.Request.URL.Host, "mcp.") && e.Request.Header.Get("Authorization") != "" {
			return e, nil
		}
	}
	return record.Exchange{}, errors.New("the agent never sent its token")
}

// operator returns the deployment with a record of what is sent to it.
func (t *tour) operator() (*record.Transport, *deployment.Deployment) {
	watched := *t.deployment
	watch := new(record.Transport)
	watched.Observe(func(next http.RoundTripper) http.RoundTripper {
		watch.Base = next
		return watch
	})
	return watch, &watched
}

func (t *tour) showLast(watch *record.Transport) {
	for _, e := range watch.Take() {
		t.exchange(e)
	}
}

// client returns one of the clients that the services are.
func client(d *deployment.Deployment, id string) (agent.Client, error) {
	secret, err := d.Secret("client-" + id)
	return agent.Client{ID: id, Secret: secret}, err
}

// claims shows what a JWT says. That needs no key: it is signed, not
// encrypted.
func (t *tour) claims(jwt string) error {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return errors.New("this is not a JWT")
	}
	t.say("  %s", t.paint(cyan, "→ Authorization: Bearer "+record.Fingerprint(jwt)))
	for i, name := range []string{"header", "claims"} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return fmt.Errorf("JWT %s: %w", name, err)
		}
		var members map[string]any
		if err := json.Unmarshal(raw, &members); err != nil {
			return fmt.Errorf("JWT %s: %w", name, err)
		}
		for member, value := range members {
			if seconds, ok := value.(float64); ok && isTime[member] {
				members[member] = instant(seconds)
			}
		}
		t.say("      %s", t.paint(faint, name))
		t.body(record.Indent(members))
	}
	return nil
}
