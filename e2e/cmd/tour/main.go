// Command tour walks through the whole flow against the running deployment,
// as an AI agent and its user, and shows every step: what was sent, what came
// back, and what to notice. Credentials appear as fingerprints alone.
//
// Read the chapters in the order of walk: discover.go, register.go, signin.go,
// tokens.go, hops.go, answers.go.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/deployment"
	"demo.example/e2e/person"
	"demo.example/e2e/record"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Environ(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ntour:", err)
		os.Exit(1)
	}
}

// tour is one walk.
type tour struct {
	*printer
	deployment *deployment.Deployment
	browser    bool // the user signs in with a browser of their own

	john, jane *traveller
	visit      visit // the last one to the authorization server
}

// traveller is an agent with the user whom it acts for.
type traveller struct {
	person    *person.Person
	agent     *agent.Agent
	exchanges []record.Exchange // of the agent, when it first called the tool
	answer    answer            // to that call
}

func run(ctx context.Context, environ []string, out *os.File) error {
	start := time.Now()
	d, err := deployment.Load(environ)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute) // people read mail slowly
	defer cancel()
	if err := d.Check(ctx); err != nil {
		return err
	}
	env := deployment.Variables(environ)
	t := &tour{
		printer:    newPrinter(out, env),
		deployment: d,
		browser:    env["BROWSER"] != "" && env["BROWSER"] != "0",
	}
	t.introduce()
	if err := t.walk(ctx); err != nil {
		return err
	}
	t.say("")
	t.say("All of this took %s. The services tell the same story in their logs: `make logs`.", time.Since(start).Round(time.Millisecond))
	return nil
}

func (t *tour) introduce() {
	t.heading("A tour of %s", t.deployment.Origin(""))
	t.say("")
	t.say("An AI agent asks an MCP server for stock prices on behalf of a user. Nobody has")
	t.say("told it where to sign in: it finds out. Requests begin with →, responses with ←.")
	t.say("‹opaque #1a2b3c› and ‹JWT #1a2b3c› stand for tokens: equal numbers, equal tokens.")
}

// walk is the tour, a chapter a line.
func (t *tour) walk(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		t.callTheTool, // the SDK does all of chapters 1 to 4 in this one call
		t.discover,
		t.register,
		t.signIn,
		t.redeem,
		t.hops,
		t.secondUser,
		t.answers,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}
