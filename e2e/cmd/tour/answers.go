package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
	"demo.example/e2e/record"
)

// answer is the tool's structured answer.
type answer struct {
	Region string `json:"region"`
	Stocks []struct {
		Symbol   string `json:"symbol"`
		Name     string `json:"name"`
		Price    string `json:"price"`
		Currency string `json:"currency"`
	} `json:"stocks"`
}

func readAnswer(result *mcp.CallToolResult) (answer, error) {
	var a answer
	raw, err := json.Marshal(result.StructuredContent)
	if err == nil {
		err = json.Unmarshal(raw, &a)
	}
	if err == nil && (result.IsError || len(a.Stocks) == 0) {
		raw, _ = json.Marshal(result.Content)
		err = fmt.Errorf("the tool failed: %s", raw)
	}
	return a, err
}

// secondUser: another user, and an agent that somebody vouches for.
func (t *tour) secondUser(ctx context.Context) error {
	t.heading("Another user, another client")
	redirectURI, signIn, err := t.user(person.Jane)
	if err != nil {
		return err
	}
	t.jane = &traveller{person: signIn.person}
	err = t.travel(ctx, t.jane, agent.Document(t.deployment.ClientDocument(), redirectURI), signIn.authorize)
	if err != nil {
		return err
	}

	t.title("This agent's name is an address: its metadata document")
	watch, public := t.operator()
	if _, err := agent.Get(ctx, public.Client(), t.deployment.ClientDocument(), ""); err != nil {
		return err
	}
	t.showLast(watch)
	t.notice("the authorization server fetched this by itself; the agent registered nowhere. Whoever",
		"controls the address vouches for the client, so its client_assurance_level is 2.")

	t.title("What the gateway sees of %s's token", person.Jane)
	token, err := t.jane.agent.Token(ctx)
	if err != nil {
		return err
	}
	gateway, err := client(t.deployment, "gateway")
	if err != nil {
		return err
	}
	introspected, err := gateway.Introspect(ctx, t.deployment, token.AccessToken)
	if err != nil {
		return err
	}
	seen := map[string]any{}
	for _, name := range []string{"active", "client_id", "region", "client_type", "client_assurance_level"} {
		seen[name] = introspected.JSON()[name]
	}
	t.body(record.Indent(seen))
	if introspected.Status != http.StatusOK || seen["active"] != true {
		return errors.New("the token is not active")
	}
	return nil
}

// answers: the same tool answers each user with their own region, in both
// eras of the protocol.
func (t *tour) answers(ctx context.Context) error {
	t.heading("The answers")
	for _, user := range []struct {
		name, region string
		*traveller
	}{{person.John, "USA", t.john}, {person.Jane, "Europe", t.jane}} {
		t.title("%s asks for stock prices", user.name)
		for _, era := range []string{agent.Stateless, agent.Initialize} {
			result, err := user.agent.Call(ctx, era)
			if err != nil {
				return fmt.Errorf("%s, protocol %s: %w", user.name, era, err)
			}
			a, err := readAnswer(result)
			if err != nil {
				return fmt.Errorf("%s, protocol %s: %w", user.name, era, err)
			}
			var calls []string
			for _, e := range user.agent.Record.Take() {
				calls = append(calls, method(e.RequestBody))
			}
			t.say("  %s  %s", t.paint(cyan, "MCP "+era), t.paint(faint, strings.Join(calls, ", ")))
			t.table(a)
			if a.Region != user.region {
				return fmt.Errorf("%s got stocks of %s, not of %s", user.name, a.Region, user.region)
			}
		}
	}
	t.notice("neither user named a region. It is in the JWT that the API gets, signed by the",
		"authorization server. "+agent.Initialize+" begins with initialize, "+agent.Stateless+" goes without.")
	return nil
}

// method returns the JSON-RPC method of a request.
func method(body []byte) string {
	var request struct {
		Method string `json:"method"`
	}
	if json.Unmarshal(body, &request) != nil {
		return "?"
	}
	return request.Method
}

// maxStocks is how many stocks are shown.
const maxStocks = 5

func (t *tour) table(a answer) {
	t.say("      region %s", t.paint(bold, a.Region))
	for _, stock := range a.Stocks[:min(maxStocks, len(a.Stocks))] {
		t.say("      %-6s %-28s %10s %s", stock.Symbol, stock.Name, stock.Price, stock.Currency)
	}
	if len(a.Stocks) > maxStocks {
		t.say("      %s", t.paint(faint, fmt.Sprintf("… and %d more", len(a.Stocks)-maxStocks)))
	}
}

// isTime names the claims that are seconds since 1970.
var isTime = map[string]bool{"iat": true, "exp": true, "nbf": true, "auth_time": true}

// instant shows such a claim as a number and as a time of day.
func instant(seconds float64) string {
	at := time.Unix(int64(seconds), 0)
	return fmt.Sprintf("%d (%s, %s)", int64(seconds), at.Format(time.TimeOnly), fromNow(time.Until(at)))
}

func fromNow(d time.Duration) string {
	if d < 0 {
		return (-d).Round(time.Second).String() + " ago"
	}
	return "in " + d.Round(time.Second).String()
}

// wrap breaks a text into lines.
func wrap(text string, width int, indent string) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return strings.Join(append(lines, line), "\n"+indent)
}
