package e2e_test

import (
	"net/http"
	"testing"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// TestRestartLosesNothing: tokens, registrations, sessions and consents from
// before `make down` work after `make up`.
func TestRestartLosesNothing(t *testing.T) {
	client := newClient(t)
	f := agent.NewFlow(demo.Deployment, client, demo.MCPResource())
	before := tokens(t, f, person.Jane)
	api := apiToken(t, person.Jane) // also: a consent that is remembered
	jwt := phantom(t, before.Text("access_token"))
	user(person.Jane).Pages()

	if err := demo.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	want2xx(t, before.Text("access_token"))
	answer, err := agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks", api)
	want(t, answer, err, http.StatusOK)
	decode[stocks](t, answer.Body).check(t, "Europe")
	exchanged(t, jwt) // signed with a key from before

	refreshed, err := client.Refresh(t.Context(), demo.Deployment, before.Text("refresh_token"))
	want(t, refreshed, err, http.StatusOK)
	want2xx(t, refreshed.Text("access_token"))
	again, err := client.Refresh(t.Context(), demo.Deployment, refreshed.Text("refresh_token"))
	want(t, again, err, http.StatusOK)
	replay, err := client.Refresh(t.Context(), demo.Deployment, before.Text("refresh_token"))
	want(t, replay, err, http.StatusBadRequest)

	// The registration is still known, and the browser still signed in.
	tokens(t, agent.NewFlow(demo.Deployment, client, demo.MCPResource()), person.Jane)
	for _, page := range user(person.Jane).Pages() {
		if page.Asks("email") {
			t.Error("the browser was signed out")
		}
	}
	// Nobody is asked twice about the reviewed client.
	apiToken(t, person.Jane)
	if pages := user(person.Jane).Pages(); len(pages) > 0 {
		t.Errorf("the page %q was shown although the consent was given before", pages[0].Title)
	}
}
