// Package conformance_test runs the official MCP conformance suite against a
// deployment's authorization server and MCP server. The suite is a program on Node, pinned in
// package-lock.json; `make conformance` installs it and runs this.
package conformance_test

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/e2e/agent"
	"demo.example/e2e/deployment"
	"demo.example/e2e/launch"
	"demo.example/e2e/person"
)

// specification is the release of the MCP specification that the suite holds
// the authorization server to.
const specification = "2026-07-28"

// wantChecks are all that the suite has to say about an authorization server
// by its version in package.json. A check that is missing is as bad as one that failed.
var wantChecks = map[string]string{
	"authorization-server-metadata":      "SUCCESS",
	"authorization-server-metadata-cimd": "SUCCESS",
	"authorization-code-grant":           "SUCCESS",
}

// TestAuthorizationServer runs the suite once for each way in which a client
// may authenticate with what it got from dynamic registration.
func TestAuthorizationServer(t *testing.T) {
	ctx, installed := prepare(t)
	demo := start(ctx, t)
	for _, method := range []string{"none", "client_secret_basic", "client_secret_post"} {
		t.Run(method, func(t *testing.T) {
			port := freePort(t)
			client := register(ctx, t, demo.Deployment, method, callback(port))
			s := suite{
				installed: installed, deployment: demo.Deployment, client: client, port: port,
				user: person.New(demo.Deployment, person.John),
			}
			if method == "none" {
				s.proxy = toGateway(t, demo.Deployment)
			} else {
				s.proxy = toEditor(t, demo.Deployment, method)
			}
			got, err := s.run(ctx, t)
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(wantChecks, got); diff != "" {
				t.Errorf("checks of the suite (-want +got):\n%s", diff)
			}
		})
	}
}

// prepare returns the folder that the suite is installed in, and a context that
// Ctrl-C ends: the test ends and not the process, so that it cleans up.
func prepare(t *testing.T) (ctx context.Context, installed string) {
	t.Helper()
	installed = os.Getenv("CONFORMANCE")
	if installed == "" {
		t.Skip("the suite needs Node and npm: `make conformance` installs and runs it")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	return ctx, installed
}

// start starts a deployment of local processes, unless RUNTIME says otherwise:
// what is tested here is the same in containers.
func start(ctx context.Context, t *testing.T) *launch.Running {
	t.Helper()
	if os.Getenv("RUNTIME") == "" {
		t.Setenv("RUNTIME", deployment.Local)
	}
	demo, err := launch.Start(ctx)
	if err != nil {
		t.Fatalf("start the deployment: %v", err)
	}
	t.Cleanup(func() {
		if err := demo.Close(); err != nil {
			t.Errorf("remove the deployment: %v", err)
		}
	})
	return demo
}

// register registers a client by RFC 7591.
func register(ctx context.Context, t *testing.T, d *deployment.Deployment, method, redirectURI string) agent.Client {
	t.Helper()
	answer, err := agent.Register(ctx, d, map[string]any{
		"client_name":                t.Name(),
		"redirect_uris":              []string{redirectURI},
		"grant_types":                []string{"authorization_code"},
		"token_endpoint_auth_method": method,
	})
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != http.StatusCreated {
		t.Fatalf("registration answers %d %s", answer.Status, answer.Body)
	}
	return agent.Client{ID: answer.Text("client_id"), Secret: answer.Text("client_secret"), RedirectURI: redirectURI}
}
