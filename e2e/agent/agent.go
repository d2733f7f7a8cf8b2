// Package agent is an MCP client on the official Go SDK, as a developer of an
// AI agent would write it: the SDK discovers the authorization server,
// registers, and runs the authorization code flow; this package gives it the
// deployment's certificate authority and somebody who signs in.
package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"

	"demo.example/e2e/deployment"
	"demo.example/e2e/record"
)

// The two eras of the protocol: with a session that begins with initialize,
// and without.
const (
	Initialize = "2025-11-25"
	Stateless  = "2026-07-28"
)

// Tool is the tool that everything here is about.
const Tool = "fetch-stock-prices"

// InspectorRedirect is where the pre-registered client mcp-inspector listens.
const InspectorRedirect = "http://127.0.0.1:6276/oauth/callback"

// SignIn sends the user to the authorization URL and returns the address that
// the browser was sent back to.
type SignIn func(ctx context.Context, authorizationURL string) (callback *url.URL, err error)

// Registration is how a client becomes known to the authorization server.
type Registration func(*auth.AuthorizationCodeHandlerConfig)

// Dynamic registers by RFC 7591, as an agent does that nobody here has ever
// heard of.
func Dynamic(name, redirectURI string) Registration {
	return func(c *auth.AuthorizationCodeHandlerConfig) {
		c.RedirectURL = redirectURI
		c.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName:              name,
			RedirectURIs:            []string{redirectURI},
			GrantTypes:              []string{"authorization_code", "refresh_token"},
			ResponseTypes:           []string{"code"},
			TokenEndpointAuthMethod: "none",
		}}
	}
}

// Document names the client by the address of its metadata document.
func Document(address, redirectURI string) Registration {
	return func(c *auth.AuthorizationCodeHandlerConfig) {
		c.RedirectURL = redirectURI
		c.ClientIDMetadataDocumentConfig = &auth.ClientIDMetadataDocumentConfig{URL: address}
	}
}

// Known uses a client that is registered already.
func Known(client Client) Registration {
	return func(c *auth.AuthorizationCodeHandlerConfig) {
		c.RedirectURL = client.RedirectURI
		c.PreregisteredClient = &oauthex.ClientCredentials{ClientID: client.ID}
	}
}

// Agent is an AI agent that acts for one user.
type Agent struct {
	Record *record.Transport // what the agent sent and received

	deployment *deployment.Deployment
	handler    *auth.AuthorizationCodeHandler
	http       *http.Client
	clientID   string // known once it has asked for authorization
}

// New returns an agent that signs in when the MCP server first asks for it.
func New(d *deployment.Deployment, registration Registration, signIn SignIn) (*Agent, error) {
	a := &Agent{deployment: d, Record: &record.Transport{Base: d.Transport()}}
	a.http = deployment.NoRedirects(a.Record)
	config := &auth.AuthorizationCodeHandlerConfig{
		Client:              a.http,
		RequestRefreshToken: true,
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			return a.authorize(ctx, args.URL, signIn)
		},
	}
	registration(config)
	var err error
	a.handler, err = auth.NewAuthorizationCodeHandler(config)
	return a, err
}

// authorize has the user sign in, and takes the response apart for the SDK,
// which checks state and issuer.
func (a *Agent) authorize(ctx context.Context, address string, signIn SignIn) (*auth.AuthorizationResult, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	// The address is what a server on the network said. It is about to be
	// opened on the user's machine, and where it leads they type a passcode.
	if u.Scheme+"://"+u.Host != a.deployment.Issuer() || u.User != nil {
		return nil, fmt.Errorf("refusing to open %q: it is not the authorization server %s", address, a.deployment.Issuer())
	}
	a.clientID = u.Query().Get("client_id")
	callback, err := signIn(ctx, address)
	if err != nil {
		return nil, err
	}
	q := callback.Query()
	if q.Get("error") != "" {
		return nil, fmt.Errorf("the authorization server refused: %s: %s", q.Get("error"), q.Get("error_description"))
	}
	return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
}

// Visit sends the user to a page on which they decide something that the agent
// may not decide for them. It returns once they were there.
type Visit func(ctx context.Context, address string) error

// Connect opens an MCP session in the era of version. The first one signs the
// user in.
func (a *Agent) Connect(ctx context.Context, version string) (*mcp.ClientSession, error) {
	return a.connect(ctx, version, nil)
}

// ConnectWithUser is Connect for an agent whose user is there to be sent to
// pages (MCP, URL mode elicitation).
func (a *Agent) ConnectWithUser(ctx context.Context, version string, visit Visit) (*mcp.ClientSession, error) {
	return a.connect(ctx, version, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}},
		ElicitationHandler: func(ctx context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			if !strings.HasPrefix(req.Params.URL, a.deployment.Issuer()+"/") { // see authorize
				return &mcp.ElicitResult{Action: "decline"}, nil
			}
			if err := visit(ctx, req.Params.URL); err != nil {
				return nil, err
			}
			return &mcp.ElicitResult{Action: "accept"}, nil
		},
	})
}

func (a *Agent) connect(ctx context.Context, version string, options *mcp.ClientOptions) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "stocks-agent", Title: "Stocks agent", Version: "1.0.0"}, options)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:             a.deployment.MCPResource(),
		HTTPClient:           a.http,
		MaxRetries:           -1,
		DisableStandaloneSSE: true,
		OAuthHandler:         a.handler,
	}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		return nil, err
	}
	// The SDK falls back to an older era without a word.
	if got := session.InitializeResult().ProtocolVersion; got != version {
		return nil, errors.Join(fmt.Errorf("the server negotiated %s, not %s", got, version), session.Close())
	}
	return session, nil
}

// Call opens a session, calls the tool, and closes the session again.
func (a *Agent) Call(ctx context.Context, version string) (*mcp.CallToolResult, error) {
	session, err := a.Connect(ctx, version)
	if err != nil {
		return nil, err
	}
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: Tool})
	return result, errors.Join(err, session.Close())
}

// ClientID returns the client that the agent registered as.
func (a *Agent) ClientID() string { return a.clientID }

// Token returns the agent's tokens, refreshed if they have expired.
func (a *Agent) Token(ctx context.Context) (*oauth2.Token, error) {
	source, err := a.handler.TokenSource(ctx)
	if err != nil {
		return nil, err
	}
	if source == nil {
		return nil, errors.New("the agent has not signed in yet")
	}
	return source.Token()
}
