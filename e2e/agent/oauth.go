package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"demo.example/e2e/deployment"
)

// Client is an OAuth client as the authorization server knows it.
type Client struct {
	ID          string
	Secret      string // empty for a public client
	RedirectURI string
}

// Flow is one run of the authorization code flow, taken a step at a time. An
// Agent does the same by itself; a Flow is for showing the steps and for doing
// one of them wrong.
type Flow struct {
	Deployment *deployment.Deployment
	Client     Client
	Resource   string
	Scope      string
	State      string
	Verifier   string // PKCE
}

// NewFlow begins a flow with fresh state and verifier.
func NewFlow(d *deployment.Deployment, client Client, resource string) *Flow {
	return &Flow{
		Deployment: d,
		Client:     client,
		Resource:   resource,
		Scope:      "stocks/read",
		State:      rand.Text(),
		Verifier:   oauth2.GenerateVerifier(),
	}
}

// Edit changes the parameters of a request before it is sent.
type Edit func(url.Values)

// Without leaves a parameter out.
func Without(name string) Edit { return func(v url.Values) { v.Del(name) } }

// With sets a parameter.
func With(name, value string) Edit { return func(v url.Values) { v.Set(name, value) } }

// URL returns the authorization URL.
func (f *Flow) URL(edits ...Edit) string {
	v := url.Values{
		"response_type":         {"code"},
		"client_id":             {f.Client.ID},
		"redirect_uri":          {f.Client.RedirectURI},
		"scope":                 {f.Scope},
		"state":                 {f.State},
		"resource":              {f.Resource},
		"code_challenge":        {oauth2.S256ChallengeFromVerifier(f.Verifier)},
		"code_challenge_method": {"S256"},
	}
	for _, edit := range edits {
		edit(v)
	}
	return f.Deployment.Issuer() + "/authorize?" + v.Encode()
}

// Code takes the code out of the address that the browser was sent back to,
// as a careful client does (RFC 9207 §2.4).
func (f *Flow) Code(callback *url.URL) (string, error) {
	q := callback.Query()
	switch {
	case q.Get("iss") != f.Deployment.Issuer():
		return "", fmt.Errorf("the response names the issuer %q, not %q", q.Get("iss"), f.Deployment.Issuer())
	case q.Get("state") != f.State:
		return "", fmt.Errorf("the response belongs to another request")
	case q.Get("error") != "":
		return "", fmt.Errorf("%s: %s", q.Get("error"), q.Get("error_description"))
	case q.Get("code") == "":
		return "", fmt.Errorf("the response has no code")
	}
	return q.Get("code"), nil
}

// Redeem trades a code for tokens.
func (f *Flow) Redeem(ctx context.Context, code string, edits ...Edit) (*Answer, error) {
	return f.Client.Post(ctx, f.Deployment, "/token", url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {f.Client.RedirectURI},
		"code_verifier": {f.Verifier},
		"resource":      {f.Resource},
	}, edits...)
}

// Refresh trades a refresh token for new tokens.
func (c Client) Refresh(ctx context.Context, d *deployment.Deployment, token string) (*Answer, error) {
	return c.Post(ctx, d, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// Exchange trades the JWT of a user's request for one for another resource
// (RFC 8693), as the MCP server does.
func (c Client) Exchange(ctx context.Context, d *deployment.Deployment, subjectToken string, edits ...Edit) (*Answer, error) {
	return c.Post(ctx, d, "/token", url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":        {subjectToken},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:access_token"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"resource":             {d.APIResource()},
		"scope":                {"stocks/read"},
	}, edits...)
}

// Introspect asks what the token is, as a resource server may (RFC 7662).
func (c Client) Introspect(ctx context.Context, d *deployment.Deployment, token string) (*Answer, error) {
	return c.Post(ctx, d, "/introspect", url.Values{"token": {token}})
}

// Phantom asks for the JWT behind an opaque token, as the gateway does.
func (c Client) Phantom(ctx context.Context, d *deployment.Deployment, token string) (*Answer, error) {
	req, err := c.request(ctx, d, "/introspect", url.Values{"token": {token}})
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwt")
	return Do(d.Client(), req)
}

// Post sends a form to one of the authorization server's endpoints. A client
// with a secret authenticates by client_secret_basic, one without names itself
// in the form.
func (c Client) Post(ctx context.Context, d *deployment.Deployment, path string, form url.Values, edits ...Edit) (*Answer, error) {
	for _, edit := range edits {
		edit(form)
	}
	req, err := c.request(ctx, d, path, form)
	if err != nil {
		return nil, err
	}
	return Do(d.Client(), req)
}

func (c Client) request(ctx context.Context, d *deployment.Deployment, path string, form url.Values) (*http.Request, error) {
	if c.Secret == "" && c.ID != "" {
		form.Set("client_id", c.ID)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Issuer()+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if c.Secret != "" {
		// Both are form-urlencoded first (RFC 6749 §2.3.1).
		req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return req, nil
}

// Register registers a public client by the metadata given (RFC 7591).
func Register(ctx context.Context, d *deployment.Deployment, metadata map[string]any) (*Answer, error) {
	body, err := json.Marshal(metadata)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Issuer()+"/register", strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return Do(d.Client(), req)
}

// Answer is a response that was read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 1 << 20

// Do sends a request and reads the answer.
func Do(client *http.Client, req *http.Request) (*Answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, err
}

// Get loads an address, with a bearer token unless it is empty.
func Get(ctx context.Context, client *http.Client, address, token string) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return Do(client, req)
}

// JSON returns the members of a JSON object, nil when the body is none.
func (a *Answer) JSON() map[string]any {
	var members map[string]any
	if json.Unmarshal(a.Body, &members) != nil {
		return nil
	}
	return members
}

// Text returns a member that is a string, "" when there is none.
func (a *Answer) Text(member string) string {
	text, _ := a.JSON()[member].(string)
	return text
}
