package e2e_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// without runs a test while a service is down, and brings it back, for the
// gateway too: for up to two seconds it may not ask a service that was away.
func without(t *testing.T, service string, test func()) {
	t.Helper()
	outage(t, demo.Stop, service, test)
	eventually(t, "tokens are looked up again", func() error {
		answer, err := agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks", rand.Text())
		if err != nil {
			return err
		}
		if answer.Status != http.StatusUnauthorized {
			return fmt.Errorf("a token that nobody knows is answered %d", answer.Status)
		}
		return nil
	})
}

// outage is without, for a way in which a service ends.
func outage(t *testing.T, end func(context.Context, string) error, service string, test func()) {
	t.Helper()
	if err := end(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	stopped := true
	restart := func() {
		if stopped {
			stopped = false
			if err := demo.Start(context.WithoutCancel(t.Context()), service); err != nil {
				t.Fatal(err)
			}
		}
	}
	defer restart() // also when the test ends early
	test()
	restart()
}

// wantOutage fails the test unless the answer says to try again later: a 401
// would send the user to sign in for nothing.
func wantOutage(t *testing.T, answer *agent.Answer, err error) {
	t.Helper()
	want(t, answer, err, http.StatusServiceUnavailable)
	if answer.Header.Get("Retry-After") == "" {
		t.Error("the 503 has no Retry-After")
	}
	if answer.Header.Get("WWW-Authenticate") != "" {
		t.Error("the 503 asks to sign in")
	}
}

func TestMailDown(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	p := person.New(demo.Deployment, person.John)
	page, err := p.Open(t.Context(), f.URL())
	if err != nil {
		t.Fatal(err)
	}
	without(t, "mail", func() {
		failed, err := p.Submit(t.Context(), page, url.Values{"email": {person.John}})
		if err != nil {
			t.Fatal(err)
		}
		if failed.Status != http.StatusServiceUnavailable || failed.Header.Get("Retry-After") == "" || !strings.Contains(failed.Text, "try again") {
			t.Errorf("got %d %q, want a 503 page that says what to do", failed.Status, failed.Text)
		}
	})
	eventually(t, "the inbox comes back", func() error {
		_, err := p.Inbox.Newest(t.Context(), person.John)
		return err
	})
	// The same sign-in goes on where it was.
	for err == nil && page.Callback == nil {
		page, err = p.Answer(t.Context(), page, person.Allow)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Code(page.Callback); err != nil {
		t.Error(err)
	}
}

func TestAuthserverDown(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	answer := tokens(t, f, person.John)
	without(t, "authserver", func() {
		unseen, err := callTool(t.Context(), demo.Client(), demo.MCPResource(), answer.Text("access_token"))
		wantOutage(t, unseen, err)
		page, err := agent.Get(t.Context(), demo.Client(), f.URL(), "")
		wantOutage(t, page, err)
	})
	eventually(t, "the token works again", func() error { return accepted(t, answer.Text("access_token")) })
	refreshed, err := f.Client.Refresh(t.Context(), demo.Deployment, answer.Text("refresh_token"))
	want(t, refreshed, err, http.StatusOK)
}

func TestAPIDown(t *testing.T) {
	a := newAgent(t, agent.Dynamic(t.Name(), redirect), person.John)
	if _, err := a.Call(t.Context(), agent.Stateless); err != nil {
		t.Fatal(err)
	}
	web, other := apiToken(t, person.John), mcpToken(t, person.John)
	without(t, "stocksapi", func() {
		result, err := a.Call(t.Context(), agent.Stateless)
		if err != nil {
			t.Fatalf("the call failed (%v); want a result that says so", err)
		}
		if !result.IsError {
			t.Errorf("the tool succeeds without the API: %+v", result.Content)
		}
		answer, err := agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks", web)
		wantOutage(t, answer, err)
		// Nobody behind the gateway could have refused this one.
		answer, err = agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks", other)
		want(t, answer, err, http.StatusUnauthorized)
	})
	eventually(t, "the tool works again", func() error {
		result, err := a.Call(t.Context(), agent.Stateless)
		if err == nil && result.IsError {
			err = fmt.Errorf("the tool fails: %+v", result.Content)
		}
		return err
	})
	eventually(t, "the API works again", func() error {
		answer, err := agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks", web)
		if err == nil && answer.Status != http.StatusOK {
			err = fmt.Errorf("answered %d", answer.Status)
		}
		return err
	})
}

func TestMCPServerDown(t *testing.T) {
	token, other := mcpToken(t, person.John), apiToken(t, person.John)
	want2xx(t, token)
	without(t, "stocksmcp", func() {
		answer, err := callTool(t.Context(), demo.Client(), demo.MCPResource(), token)
		wantOutage(t, answer, err)
		// Nobody behind the gateway could have refused this one.
		answer, err = callTool(t.Context(), demo.Client(), demo.MCPResource(), other)
		want(t, answer, err, http.StatusUnauthorized)
	})
	eventually(t, "the token works again", func() error { return accepted(t, token) })
}
