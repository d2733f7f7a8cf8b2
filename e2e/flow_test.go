package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// stocks is what both the tool and the API answer.
type stocks struct {
	Region string `json:"region"`
	Stocks []struct {
		Symbol   string `json:"symbol"`
		Currency string `json:"currency"`
	} `json:"stocks"`
}

// check fails the test unless these are stocks of the region: currencies tell,
// should the label lie.
func (s stocks) check(t *testing.T, region string) {
	t.Helper()
	if s.Region != region || len(s.Stocks) == 0 {
		t.Fatalf("got %d stocks of %q, want stocks of %s", len(s.Stocks), s.Region, region)
	}
	for _, stock := range s.Stocks {
		if american := stock.Currency == "USD"; american != (region == "USA") {
			t.Errorf("%s is quoted in %s, so it is not of %s", stock.Symbol, stock.Currency, region)
		}
	}
}

func toolStocks(t *testing.T, result *mcp.CallToolResult, err error) stocks {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if result.IsError {
		t.Fatalf("the tool failed: %+v", result.Content)
	}
	return decode[stocks](t, result.StructuredContent)
}

// decode turns any JSON value into a T.
func decode[T any](t *testing.T, value any) T {
	t.Helper()
	raw, ok := value.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(value); err != nil {
			t.Fatal(err)
		}
	}
	var out T
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return out
}

// TestAgent walks the whole chain with the official SDK: each way to become
// known, each user, each era of the protocol.
func TestAgent(t *testing.T) {
	inspector := agent.Client{ID: "mcp-inspector", RedirectURI: agent.InspectorRedirect}
	tests := map[string]struct {
		registration agent.Registration
		user, region string
		assurance    float64
	}{
		"dynamic registration, USA":    {agent.Dynamic("End-to-end test", redirect), person.John, "USA", 1},
		"dynamic registration, Europe": {agent.Dynamic("End-to-end test", redirect), person.Jane, "Europe", 1},
		"metadata document, USA":       {agent.Document(demo.ClientDocument(), redirect), person.John, "USA", 2},
		"metadata document, Europe":    {agent.Document(demo.ClientDocument(), redirect), person.Jane, "Europe", 2},
		"pre-registered, USA":          {agent.Known(inspector), person.John, "USA", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, tt.registration, tt.user)
			for _, era := range []string{agent.Initialize, agent.Stateless} {
				result, err := a.Call(t.Context(), era)
				toolStocks(t, result, err).check(t, tt.region)
			}
			token, err := a.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			answer, err := gateway(t).Introspect(t.Context(), demo.Deployment, token.AccessToken)
			want(t, answer, err, http.StatusOK)
			claims := answer.JSON()
			got := map[string]any{}
			for _, name := range []string{"active", "iss", "aud", "scope", "client_id", "region", "client_type", "client_assurance_level"} {
				got[name] = claims[name]
			}
			want := map[string]any{
				"active": true, "iss": demo.Issuer(), "aud": demo.MCPResource(), "scope": "stocks/read", "client_id": a.ClientID(),
				"region": tt.region, "client_type": "mcp", "client_assurance_level": tt.assurance,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAccessToken is about the token in an agent's hands: it says nothing, and
// it is short-lived.
func TestAccessToken(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	callback, err := user(person.John).Authorize(t.Context(), f.URL(), person.Allow)
	if err != nil {
		t.Fatal(err)
	}
	q := callback.Query()
	if q.Get("iss") != demo.Issuer() || q.Get("state") != f.State || q.Get("code") == "" {
		t.Errorf("the response has iss %q, state %q; want those of the request, and a code", q.Get("iss"), q.Get("state"))
	}
	answer, err := f.Redeem(t.Context(), q.Get("code"))
	want(t, answer, err, http.StatusOK)
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q, want no-store", got)
	}
	members := answer.JSON()
	if token := answer.Text("access_token"); len(token) < 32 || strings.Count(token, ".") > 1 {
		t.Errorf("the access token of %d bytes is not an opaque one", len(token))
	}
	if life, _ := members["expires_in"].(float64); life < 15*60-5 || life > 15*60 {
		t.Errorf("expires_in %v, want 15 minutes", members["expires_in"])
	}
	if members["token_type"] != "Bearer" || members["scope"] != "stocks/read" {
		t.Errorf("token_type %v, scope %v; want Bearer, stocks/read", members["token_type"], members["scope"])
	}
	introspected, err := gateway(t).Introspect(t.Context(), demo.Deployment, answer.Text("access_token"))
	want(t, introspected, err, http.StatusOK)
	exp, _ := introspected.JSON()["exp"].(float64)
	if life := time.Until(time.Unix(int64(exp), 0)); life < 14*time.Minute || life > 15*time.Minute {
		t.Errorf("introspection says that it expires in %s, want 15 minutes", life)
	}
}

// TestScopeMayBeLeftOut: a client that asks for no scope gets the resource's
// own instead of an error.
func TestScopeMayBeLeftOut(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	callback, err := user(person.John).Authorize(t.Context(), f.URL(agent.Without("scope")), person.Allow)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := f.Redeem(t.Context(), callback.Query().Get("code"))
	want(t, answer, err, http.StatusOK)
	if got := answer.Text("scope"); got != "stocks/read" {
		t.Errorf("scope %q, want stocks/read", got)
	}
}

// TestWebClient: a reviewed client that is not an AI agent uses the same API
// through the same gateway, with tokens for the API itself.
func TestWebClient(t *testing.T) {
	for email, region := range map[string]string{person.John: "USA", person.Jane: "Europe"} {
		token := apiToken(t, email)
		answer, err := agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks", token)
		want(t, answer, err, http.StatusOK)
		decode[stocks](t, answer.Body).check(t, region)

		introspected, err := gateway(t).Introspect(t.Context(), demo.Deployment, token)
		want(t, introspected, err, http.StatusOK)
		claims := introspected.JSON()
		if claims["aud"] != demo.APIResource() || claims["client_type"] != "web" {
			t.Errorf("aud %v, client_type %v; want %s, web", claims["aud"], claims["client_type"], demo.APIResource())
		}
	}
}

// TestRefresh: a refresh token is replaced whenever it is used. Once what took
// its place was used too, sending it again ends the family.
func TestRefresh(t *testing.T) {
	client := newClient(t)
	first := tokens(t, agent.NewFlow(demo.Deployment, client, demo.MCPResource()), person.John)
	second, err := client.Refresh(t.Context(), demo.Deployment, first.Text("refresh_token"))
	want(t, second, err, http.StatusOK)
	if second.Text("access_token") == first.Text("access_token") || second.Text("refresh_token") == first.Text("refresh_token") {
		t.Error("refreshing returned a token that was there before")
	}
	want2xx(t, second.Text("access_token"))
	third, err := client.Refresh(t.Context(), demo.Deployment, second.Text("refresh_token"))
	want(t, third, err, http.StatusOK)

	replay, err := client.Refresh(t.Context(), demo.Deployment, first.Text("refresh_token"))
	want(t, replay, err, http.StatusBadRequest)
	if replay.Text("error") != "invalid_grant" {
		t.Errorf("replay: error %q, want invalid_grant", replay.Text("error"))
	}
	after, err := client.Refresh(t.Context(), demo.Deployment, third.Text("refresh_token"))
	want(t, after, err, http.StatusBadRequest)
	eventually(t, "the replay of a refresh token ends the access tokens", func() error {
		return refused(t, third.Text("access_token"))
	})
}

// TestConsentIsAskedEveryTime of agents, whom nobody reviewed: also when the
// user is signed in and has allowed the same before.
func TestConsentIsAskedEveryTime(t *testing.T) {
	client := newClient(t)
	p := person.New(demo.Deployment, person.John)
	for round, wantPages := range [][]string{{"email", "passcode", "decision"}, {"decision"}} {
		f := agent.NewFlow(demo.Deployment, client, demo.MCPResource())
		if _, err := p.Authorize(t.Context(), f.URL(), person.Allow); err != nil {
			t.Fatal(err)
		}
		var pages []string
		for _, page := range p.Pages() {
			for _, ask := range []string{"email", "passcode"} {
				if page.Asks(ask) {
					pages = append(pages, ask)
				}
			}
			if page.Offers("decision", person.Allow) {
				pages = append(pages, "decision")
			}
			if !strings.Contains(page.Text, t.Name()) {
				t.Errorf("the page %q does not name the client", page.Title)
			}
		}
		if diff := cmp.Diff(wantPages, pages); diff != "" {
			t.Errorf("round %d: what the pages ask for (-want +got):\n%s", round+1, diff)
		}
	}
}

// TestConsentPageSaysWhoAsks and for what, and where the code will be sent.
func TestConsentPageSaysWhoAsks(t *testing.T) {
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	page, err := user(person.John).Open(t.Context(), f.URL())
	for err == nil && !page.Offers("decision", person.Allow) {
		page, err = user(person.John).Answer(t.Context(), page, person.Allow)
	}
	if err != nil {
		t.Fatal(err)
	}
	redirectURI, _ := url.Parse(redirect)
	for _, fact := range []string{t.Name(), redirectURI.Hostname(), "stocks", person.John} {
		if !strings.Contains(page.Text, fact) {
			t.Errorf("the consent page does not say %q: %s", fact, page.Text)
		}
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe-inline") {
		t.Errorf("Content-Security-Policy %q does not forbid frames and inline scripts", csp)
	}
}

// TestMetadata: what the documents say of one another is the same everywhere.
func TestMetadata(t *testing.T) {
	get := func(address string) map[string]any {
		t.Helper()
		answer, err := agent.Get(t.Context(), demo.Client(), address, "")
		want(t, answer, err, http.StatusOK)
		return answer.JSON()
	}
	const resourcePath = "/.well-known/oauth-protected-resource"
	for name, resource := range map[string]string{"mcp": demo.MCPResource(), "api": demo.APIResource()} {
		document := get(demo.Origin(name) + resourcePath)
		if document["resource"] != resource {
			t.Errorf("%s: resource %v, want %s", name, document["resource"], resource)
		}
		if diff := cmp.Diff([]any{demo.Issuer()}, document["authorization_servers"]); diff != "" {
			t.Errorf("%s: authorization_servers (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff([]any{"stocks/read"}, document["scopes_supported"]); diff != "" {
			t.Errorf("%s: scopes_supported (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(get(demo.Origin("mcp")+resourcePath), get(demo.Origin("mcp")+resourcePath+"/")); diff != "" {
		t.Errorf("root and path form differ:\n%s", diff)
	}

	server, openID := get(demo.Issuer()+"/.well-known/oauth-authorization-server"), get(demo.Issuer()+"/.well-known/openid-configuration")
	for name, value := range server {
		if other, ok := openID[name]; ok && !cmp.Equal(value, other) {
			t.Errorf("%s is %v for OAuth and %v for OpenID Connect", name, value, other)
		}
	}
	wantMembers := map[string]any{
		"issuer":                 demo.Issuer(),
		"authorization_endpoint": demo.Issuer() + "/authorize",
		"token_endpoint":         demo.Issuer() + "/token",
		"registration_endpoint":  demo.Issuer() + "/register",
		"introspection_endpoint": demo.Issuer() + "/introspect",
		"revocation_endpoint":    demo.Issuer() + "/revoke",
		"jwks_uri":               demo.Issuer() + "/jwks",
		"authorization_response_iss_parameter_supported": true,
		"client_id_metadata_document_supported":          true,
		"response_types_supported":                       []any{"code"},
		"code_challenge_methods_supported":               []any{"S256"},
	}
	got := map[string]any{}
	for name := range wantMembers {
		got[name] = server[name]
	}
	if diff := cmp.Diff(wantMembers, got); diff != "" {
		t.Errorf("authorization server metadata (-want +got):\n%s", diff)
	}
	for _, list := range []struct{ name, member string }{
		{"token_endpoint_auth_methods_supported", "none"},
		{"grant_types_supported", "authorization_code"},
		{"grant_types_supported", "refresh_token"},
		{"scopes_supported", "stocks/read"},
	} {
		if members, _ := server[list.name].([]any); !slices.Contains(members, any(list.member)) {
			t.Errorf("%s is %v, want %s in it", list.name, server[list.name], list.member)
		}
	}
	if got := get(demo.ClientDocument())["client_id"]; got != demo.ClientDocument() {
		t.Errorf("the client's document names %v, not its own address", got)
	}
}

// TestChallenge: whoever comes without a token learns where to get one.
func TestChallenge(t *testing.T) {
	for name, address := range map[string]string{"mcp": demo.MCPResource(), "api": demo.APIResource() + "/stocks"} {
		answer, err := agent.Get(t.Context(), demo.Client(), address, "")
		want(t, answer, err, http.StatusUnauthorized)
		challenge := answer.Header.Get("WWW-Authenticate")
		for _, part := range []string{
			"Bearer ", `scope="stocks/read"`, `resource_metadata="` + demo.Origin(name) + `/.well-known/oauth-protected-resource"`,
		} {
			if !strings.Contains(challenge, part) {
				t.Errorf("%s: the challenge %q has no %s", name, challenge, part)
			}
		}
		if strings.Contains(challenge, "error=") {
			t.Errorf("%s: the challenge %q calls it an error to have no token yet (RFC 6750 §3)", name, challenge)
		}
	}
}
