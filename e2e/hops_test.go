package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// claims returns what a JWT says.
func claims(t *testing.T, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts is not a JWT", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(payload, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestExchangedToken: the token for the next hop is for the same user and
// client, for one audience, for no longer, and names who acts.
func TestExchangedToken(t *testing.T) {
	subjectToken := phantom(t, mcpToken(t, person.John))
	answer, err := mcpServer(t).Exchange(t.Context(), demo.Deployment, subjectToken)
	want(t, answer, err, http.StatusOK)
	members := answer.JSON()
	if members["token_type"] != "Bearer" || members["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" ||
		members["scope"] != "stocks/read" || members["refresh_token"] != nil {
		t.Errorf("answered %v, want a Bearer access token with scope stocks/read and no refresh token", members)
	}

	before, after := claims(t, subjectToken), claims(t, answer.Text("access_token"))
	if diff := cmp.Diff(before["aud"], any(demo.MCPResource())); diff != "" {
		t.Errorf("audience of the subject token:\n%s", diff)
	}
	for _, name := range []string{"iss", "sub", "client_id", "auth_time", "acr", "region", "client_type", "client_assurance_level", "scope"} {
		if before[name] == nil || !cmp.Equal(before[name], after[name]) {
			t.Errorf("%s was %v and is %v, want it to stay", name, before[name], after[name])
		}
	}
	if after["aud"] != demo.APIResource() {
		t.Errorf("aud is %v, want %s alone", after["aud"], demo.APIResource())
	}
	if diff := cmp.Diff(map[string]any{"sub": "stocksmcp"}, after["act"]); diff != "" {
		t.Errorf("act (-want +got):\n%s", diff)
	}
	if before["exp"].(float64) < after["exp"].(float64) {
		t.Errorf("exp was %v and is %v, want it no later", before["exp"], after["exp"])
	}
	if before["jti"] == after["jti"] || after["jti"] == nil {
		t.Errorf("jti was %v and is %v, want a new one", before["jti"], after["jti"])
	}
}

// TestRegionComesFromTheToken: nothing that the caller says widens it.
func TestRegionComesFromTheToken(t *testing.T) {
	john, jane := apiToken(t, person.John), apiToken(t, person.Jane)
	list := func(token string) stocks {
		t.Helper()
		answer, err := agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks", token)
		want(t, answer, err, http.StatusOK)
		return decode[stocks](t, answer.Body)
	}
	american, european := list(john), list(jane)
	american.check(t, "USA")
	european.check(t, "Europe")

	theirs := demo.APIResource() + "/stocks/" + european.Stocks[0].Symbol
	answer, err := agent.Get(t.Context(), demo.Client(), theirs, jane)
	want(t, answer, err, http.StatusOK)
	answer, err = agent.Get(t.Context(), demo.Client(), theirs, john)
	want(t, answer, err, http.StatusNotFound)

	answer, err = agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks?region=Europe", john)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(answer.Body), european.Stocks[0].Symbol) {
		t.Error("?region=Europe shows European stocks to an American user")
	}
}

// TestAnswersAreForOneUser: what one user gets never reaches another, whoever
// asked first.
func TestAnswersAreForOneUser(t *testing.T) {
	regions := map[string]string{mcpToken(t, person.John): "USA", mcpToken(t, person.Jane): "Europe"}
	type result struct {
		want string
		body string
		err  error
	}
	const calls = 20
	results := make(chan result)
	for token, region := range regions {
		for range calls {
			go func() {
				answer, err := callTool(t.Context(), demo.Client(), demo.MCPResource(), token)
				r := result{want: region, err: err}
				if err == nil {
					r.body = string(answer.Body)
				}
				results <- r
			}()
		}
	}
	for range calls * len(regions) {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
		} else if !strings.Contains(r.body, `"region":"`+r.want+`"`) {
			t.Errorf("a user of %s got %.200s", r.want, r.body)
		}
	}
}
