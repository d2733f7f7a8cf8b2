// Package e2e_test holds a running deployment to what it promises, from the
// outside: as a user with a browser, as an AI agent on the official SDK, and as
// somebody who sends what no honest client would.
//
// RUNTIME=docker or RUNTIME=local chooses how the deployment runs; the tests
// are the same. They share one deployment, so they run one after the other.
package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/launch"
	"demo.example/e2e/person"
	"demo.example/e2e/record"
)

// demo is the deployment under test, and traffic all that the tests exchanged
// with it.
var (
	demo    *launch.Running
	traffic *record.Transport
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// run starts the deployment and removes it again, whatever happens: also when
// somebody interrupts the tests or they run out of time, for which the testing
// package leaves no chance to clean up.
func run(m *testing.M) (code int, err error) {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if limit, ok := timeLimit(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if demo, err = launch.Start(ctx); err != nil {
		return 1, fmt.Errorf("start the deployment: %w", err)
	}
	demo.Observe(func(next http.RoundTripper) http.RoundTripper {
		traffic = &record.Transport{Base: next}
		return traffic
	})
	done := make(chan struct{})
	var cleaner sync.WaitGroup
	cleaner.Go(func() {
		select {
		case <-done:
		case <-ctx.Done():
			fmt.Fprintln(os.Stderr, "stopped:", context.Cause(ctx), demo.Close())
			os.Exit(1)
		}
	})
	code = m.Run()
	close(done)
	cleaner.Wait()
	if err := demo.Close(); err != nil {
		return 1, fmt.Errorf("remove the deployment: %w", err)
	}
	return code, nil
}

// timeLimit leaves time to clean up before -timeout ends the process.
func timeLimit() (time.Duration, bool) {
	f := flag.Lookup("test.timeout")
	limit, ok := f.Value.(flag.Getter).Get().(time.Duration)
	return limit - 30*time.Second, ok && limit > time.Minute
}

// redirect is where the tests' public clients listen; nobody does.
const redirect = "http://127.0.0.1:49321/callback"

// users keeps one signed-in browser for each user, for tests that are not
// about signing in.
var users = map[string]*person.Person{}

func user(email string) *person.Person {
	if users[email] == nil {
		users[email] = person.New(demo.Deployment, email)
	}
	return users[email]
}

// approve signs in as the user and allows whatever is asked for.
func approve(p *person.Person) agent.SignIn {
	return func(ctx context.Context, address string) (*url.URL, error) {
		return p.Authorize(ctx, address, person.Allow)
	}
}

// newAgent returns an agent that acts for the user.
func newAgent(t *testing.T, registration agent.Registration, email string) *agent.Agent {
	t.Helper()
	a, err := agent.New(demo.Deployment, registration, approve(user(email)))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newClient registers a public client.
func newClient(t *testing.T) agent.Client {
	t.Helper()
	answer, err := agent.Register(t.Context(), demo.Deployment, map[string]any{
		"client_name":                t.Name(),
		"redirect_uris":              []string{redirect},
		"grant_types":                []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_method": "none",
	})
	want(t, answer, err, http.StatusCreated)
	return agent.Client{ID: answer.Text("client_id"), RedirectURI: redirect}
}

// webClient is the confidential client that is no AI agent.
func webClient(t *testing.T) agent.Client {
	t.Helper()
	return agent.Client{ID: "stocks-web", Secret: secret(t, "client-stocks-web"), RedirectURI: demo.Origin("client") + "/callback"}
}

// gateway and mcpServer are the clients that the services themselves are.
func gateway(t *testing.T) agent.Client {
	t.Helper()
	return agent.Client{ID: "gateway", Secret: secret(t, "client-gateway")}
}

func mcpServer(t *testing.T) agent.Client {
	t.Helper()
	return agent.Client{ID: "stocksmcp", Secret: secret(t, "client-stocksmcp")}
}

func secret(t *testing.T, name string) string {
	t.Helper()
	value, err := demo.Secret(name)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// code runs a flow up to the authorization code.
func code(t *testing.T, f *agent.Flow, email string) string {
	t.Helper()
	callback, err := user(email).Authorize(t.Context(), f.URL(), person.Allow)
	if err != nil {
		t.Fatal(err)
	}
	code, err := f.Code(callback)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// tokens runs a flow to its end and returns the token endpoint's answer.
func tokens(t *testing.T, f *agent.Flow, email string) *agent.Answer {
	t.Helper()
	answer, err := f.Redeem(t.Context(), code(t, f, email))
	want(t, answer, err, http.StatusOK)
	return answer
}

// mcpToken returns an opaque token for the MCP server.
func mcpToken(t *testing.T, email string) string {
	t.Helper()
	return tokens(t, agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource()), email).Text("access_token")
}

// apiToken returns an opaque token for the stocks API.
func apiToken(t *testing.T, email string) string {
	t.Helper()
	return tokens(t, agent.NewFlow(demo.Deployment, webClient(t), demo.APIResource()), email).Text("access_token")
}

// phantom returns the JWT behind an opaque token.
func phantom(t *testing.T, opaque string) string {
	t.Helper()
	answer, err := gateway(t).Phantom(t.Context(), demo.Deployment, opaque)
	want(t, answer, err, http.StatusOK)
	if got := answer.Header.Get("Content-Type"); got != "application/jwt" {
		t.Fatalf("introspection answers %s %s, want application/jwt", got, answer.Body)
	}
	return string(answer.Body)
}

// exchanged returns the JWT for the API that the MCP server would get.
func exchanged(t *testing.T, subject string) string {
	t.Helper()
	answer, err := mcpServer(t).Exchange(t.Context(), demo.Deployment, subject)
	want(t, answer, err, http.StatusOK)
	return answer.Text("access_token")
}

// want fails the test unless the request was answered with the status.
func want(t *testing.T, answer *agent.Answer, err error, status int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != status {
		t.Fatalf("answered %d %s, want %d", answer.Status, answer.Body, status)
	}
}

// eventually polls until ok reports no error, and fails the test when it takes
// longer than a service needs to recover.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
