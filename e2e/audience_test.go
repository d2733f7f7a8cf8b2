package e2e_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// The places where a token can be shown. Being behind the gateway is no reason
// to be believed, so the services are asked behind its back as well: each of
// them fails here when that one service skips its check.
const (
	mcpHost    = "mcp host"         // through the gateway
	apiHost    = "api host"         // through the gateway
	mcpService = "MCP server"       // itself
	apiService = "stocks API"       // itself
	userInfo   = "/userinfo"        // of the authorization server
	introspect = "/introspect"      // asked by the gateway
	subject    = "exchange subject" // of the MCP server
)

// TestAudienceMatrix: attacks X11 and G7. Each kind of token is good where this
// table says so, and nowhere else. An expired one has to be made:
// TestExpiredToken in services/chain.
func TestAudienceMatrix(t *testing.T) {
	client := newClient(t)
	flow := agent.NewFlow(demo.Deployment, client, demo.MCPResource())
	flow.Scope = "openid stocks/read"
	answer := tokens(t, flow, person.John)
	identity := agent.NewFlow(demo.Deployment, client, demo.Issuer())
	identity.Scope = "openid"

	forMCP, forAPI := answer.Text("access_token"), apiToken(t, person.John)
	jwtMCP, jwtAPI := phantom(t, forMCP), phantom(t, forAPI)
	jwtExchanged := exchanged(t, jwtMCP)
	for _, kind := range []struct {
		name  string
		token string
		good  []string
	}{
		{"opaque token for the MCP server", forMCP, at(mcpHost, introspect, subject)},
		{"opaque token for the API", forAPI, at(apiHost, introspect)},
		{"opaque token for the issuer", tokens(t, identity, person.John).Text("access_token"), at(userInfo)},
		{"DPoP-bound token, as Bearer", boundToken(t), at(introspect)}, // which tells the gateway the key
		{"JWT for the MCP server", jwtMCP, at(mcpService, subject)},
		{"JWT for the API", jwtAPI, at(apiService)},
		{"JWT for the API, exchanged", jwtExchanged, at(apiService)},
		{"ID token", answer.Text("id_token"), nil},
		{"refresh token", answer.Text("refresh_token"), nil},
		{"authorization code", code(t, agent.NewFlow(demo.Deployment, client, demo.MCPResource()), person.John), nil},
		{"client assertion", clientAssertion(t), nil},
		{"revoked token", revokedToken(t, client), nil},
		{"JWT for the MCP server, tampered with", tamper(jwtMCP), nil},
		{"JWT for the MCP server, unsigned", unsigned(jwtMCP), nil},
		{"JWT for the API, tampered with", tamper(jwtExchanged), nil},
		{"JWT for the API, unsigned", unsigned(jwtExchanged), nil},
		{"text in three parts", "eyJ.eyJ.x", nil},
		{"nobody's token", strings.Repeat("n", 43), nil},
		{"no token", "", nil},
	} {
		t.Run(kind.name, func(t *testing.T) {
			if kind.token == "" && kind.name != "no token" {
				t.Fatal("there is none to try")
			}
			for _, h := range hops(t) {
				answer, err := h.show(t.Context(), kind.token)
				if err != nil {
					t.Fatal(err)
				}
				switch good := slices.Contains(kind.good, h.name); {
				case good && !h.takes(answer):
					t.Errorf("%s answered %d %s, want it to be taken", h.name, answer.Status, answer.Body)
				case !good && !h.refuses(answer):
					t.Errorf("%s answered %d %v %s, want a refusal", h.name, answer.Status, answer.Header, answer.Body)
				case h.challenges && !good && kind.token != "" && !strings.Contains(challenges(answer), `error="invalid_token"`):
					t.Errorf("%s challenges with %q, want invalid_token", h.name, challenges(answer))
				}
			}
		})
	}
	t.Run("token in the URL", func(t *testing.T) {
		answer, err := agent.Get(t.Context(), demo.Client(), demo.APIResource()+"/stocks?access_token="+forAPI, "")
		want(t, answer, err, http.StatusUnauthorized)
	})
}

func at(hops ...string) []string { return hops }

// A hop is a place where a token is shown, and how to read what it answers.
type hop struct {
	name           string
	show           func(ctx context.Context, token string) (*agent.Answer, error)
	takes, refuses func(*agent.Answer) bool
	challenges     bool // a refusal says why (RFC 6750 §3.1)
}

func hops(t *testing.T) []hop {
	mcpEndpoint, err := demo.Inside(t.Context(), "stocksmcp")
	if err != nil {
		t.Fatal(err)
	}
	apiEndpoint, err := demo.Inside(t.Context(), "stocksapi")
	if err != nil {
		t.Fatal(err)
	}
	call := func(client *http.Client, endpoint string) func(context.Context, string) (*agent.Answer, error) {
		return func(ctx context.Context, token string) (*agent.Answer, error) {
			return callTool(ctx, client, endpoint, token)
		}
	}
	get := func(client *http.Client, address string) func(context.Context, string) (*agent.Answer, error) {
		return func(ctx context.Context, token string) (*agent.Answer, error) {
			return agent.Get(ctx, client, address, token)
		}
	}
	served := func(what string) func(*agent.Answer) bool {
		return func(a *agent.Answer) bool { return a.Status == http.StatusOK && strings.Contains(string(a.Body), what) }
	}
	challenged := func(a *agent.Answer) bool { return a.Status == http.StatusUnauthorized && challenges(a) != "" }
	return []hop{
		{mcpHost, call(demo.Client(), demo.MCPResource()), served(`"structuredContent"`), challenged, true},
		{apiHost, get(demo.Client(), demo.APIResource()+"/stocks"), served(`"stocks"`), challenged, true},
		{mcpService, call(demo.InsideClient(), mcpEndpoint), served(`"structuredContent"`), challenged, true},
		{apiService, get(demo.InsideClient(), apiEndpoint+"/stocks"), served(`"stocks"`), challenged, true},
		{userInfo, get(demo.Client(), demo.Issuer()+"/userinfo"), served(`"sub"`), challenged, true},
		{introspect, func(ctx context.Context, token string) (*agent.Answer, error) {
			return gateway(t).Introspect(ctx, demo.Deployment, token)
		}, served(`"active":true`), served(`{"active":false}`), false},
		{subject, func(ctx context.Context, token string) (*agent.Answer, error) {
			return mcpServer(t).Exchange(ctx, demo.Deployment, token)
		}, served(`"access_token"`), func(a *agent.Answer) bool {
			return a.Status == http.StatusBadRequest && a.Text("error") == "invalid_request" // RFC 8693 §2.2.2
		}, false},
	}
}

func challenges(a *agent.Answer) string {
	return strings.Join(a.Header.Values("WWW-Authenticate"), ", ")
}

// tamper changes the user's region and keeps the signature.
func tamper(jwt string) string {
	parts := strings.Split(jwt, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "USA", "Asia", 1)))
	return strings.Join(parts, ".")
}

// unsigned claims to need no signature.
func unsigned(jwt string) string {
	parts := strings.Split(jwt, ".")
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	return header + "." + parts[1] + "."
}

func revokedToken(t *testing.T, client agent.Client) string {
	t.Helper()
	token := tokens(t, agent.NewFlow(demo.Deployment, client, demo.MCPResource()), person.John).Text("access_token")
	answer, err := client.Post(t.Context(), demo.Deployment, "/revoke", url.Values{"token": {token}})
	want(t, answer, err, http.StatusOK)
	return token
}

// boundToken returns a token for the MCP server that is bound to a key (RFC
// 9449 §5).
func boundToken(t *testing.T) string {
	t.Helper()
	key := newKey(t)
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	form := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {f.Client.ID}, "redirect_uri": {redirect}, "code": {code(t, f, person.John)},
		"code_verifier": {f.Verifier}, "resource": {f.Resource},
	}
	for nonce := ""; ; {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, demo.Issuer()+"/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("DPoP", key.proof(t, http.MethodPost, demo.Issuer()+"/token", nonce))
		answer, err := agent.Do(demo.Client(), req)
		if err == nil && nonce == "" && answer.Text("error") == "use_dpop_nonce" {
			nonce = answer.Header.Get("DPoP-Nonce")
			continue
		}
		want(t, answer, err, http.StatusOK)
		if answer.Text("token_type") != "DPoP" {
			t.Fatalf("the token is of type %q", answer.Text("token_type"))
		}
		return answer.Text("access_token")
	}
}

// clientAssertion returns an assertion that authenticates a client at the
// authorization server (RFC 7523 §2.2), where another like it was just taken.
func clientAssertion(t *testing.T) string {
	t.Helper()
	key := newKey(t)
	answer, err := agent.Register(t.Context(), demo.Deployment, map[string]any{
		"client_name": t.Name(), "redirect_uris": []string{redirect}, "grant_types": []string{"authorization_code"},
		"token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{key.public}},
	})
	want(t, answer, err, http.StatusCreated)
	id := answer.Text("client_id")
	answer, err = agent.Client{ID: id}.Post(t.Context(), demo.Deployment, "/revoke", url.Values{
		"token":                 {"unknown"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {key.assertion(t, id, demo.Issuer())},
	})
	want(t, answer, err, http.StatusOK)
	return key.assertion(t, id, demo.Issuer())
}
