package grants

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// ErrLocal is an authorization request whose client or redirect URI cannot be
// trusted: the user is told, and nobody is redirected (RFC 6749 §4.1.2.1).
type ErrLocal struct{ Reason string }

func (e ErrLocal) Error() string { return e.Reason }

// RedirectError is a refusal that the client is told at its redirect URI.
type RedirectError struct {
	RedirectURI, State string
	Err                *oauth.Error
}

func (e *RedirectError) Error() string { return e.Err.Error() }
func (e *RedirectError) Unwrap() error { return e.Err }

// Authorize checks an authorization request (RFC 6749 §4.1.1, RFC 7636, RFC
// 8707) and stores it for the browser that sent it. The client and its
// redirect URI come first: only when both are right may anything, even an
// error, be sent there. Errors are ErrLocal, *RedirectError, or an outage.
func (s *Service) Authorize(ctx context.Context, params url.Values, browser store.Hash) (store.Request, error) {
	for name, values := range params {
		if len(values) > 1 && name != "resource" {
			return store.Request{}, ErrLocal{fmt.Sprintf("The parameter %q was sent more than once.", name)}
		}
	}
	client, err := s.Clients.Resolve(ctx, params.Get("client_id"))
	if errors.Is(err, clients.ErrUnknown) {
		s.Log.InfoContext(ctx, "client not resolved", "client_id", params.Get("client_id"), "reason", err.Error())
		return store.Request{}, ErrLocal{"The application that sent you here is not known, or its description could not be fetched."}
	}
	if err != nil {
		return store.Request{}, err
	}
	redirect := params.Get("redirect_uri")
	if !clients.IsRedirect(client, redirect) {
		return store.Request{}, ErrLocal{"The application asked to send you to an address that it did not register."}
	}
	request, oauthErr := s.readRequest(client, params)
	if oauthErr != nil {
		return store.Request{}, &RedirectError{redirect, params.Get("state"), oauthErr}
	}
	request.Browser = browser
	if err := s.Store.AddRequest(ctx, request); err != nil {
		return store.Request{}, fmt.Errorf("store authorization request: %w", err)
	}
	return request, nil
}

// maxParam bounds what is kept of state and nonce, in bytes.
const maxParam = 2048

// readRequest checks everything but the client and the redirect URI.
func (s *Service) readRequest(client store.Client, params url.Values) (store.Request, *oauth.Error) {
	none := store.Request{}
	switch {
	case params.Has("request"):
		return none, &oauth.Error{Code: "request_not_supported", Description: "send the parameters themselves"}
	case params.Has("request_uri"):
		return none, &oauth.Error{Code: "request_uri_not_supported", Description: "send the parameters themselves"}
	case params.Get("response_type") != "code":
		return none, &oauth.Error{Code: "unsupported_response_type", Description: "only response_type=code is offered"}
	case params.Has("response_mode") && params.Get("response_mode") != "query":
		return none, oauth.InvalidRequest("only response_mode=query is offered")
	case !clients.AllowsGrant(client, "authorization_code"):
		return none, oauth.UnauthorizedClient("this client is not registered for authorization_code")
	case len(params.Get("state")) > maxParam || len(params.Get("nonce")) > maxParam:
		return none, oauth.InvalidRequest(fmt.Sprintf("state and nonce may have %d bytes each", maxParam))
	case !challengeForm.MatchString(params.Get("code_challenge")):
		return none, oauth.InvalidRequest("PKCE is required: send a code_challenge of 43 characters (RFC 7636)")
	case params.Get("code_challenge_method") != "S256":
		return none, oauth.InvalidRequest("PKCE is required with code_challenge_method=S256")
	case params.Has("dpop_jkt") && !thumbprintForm.MatchString(params.Get("dpop_jkt")):
		return none, oauth.InvalidRequest("dpop_jkt must be the SHA-256 thumbprint of a key, 43 characters (RFC 7638)")
	}
	resource, oauthErr := s.readResource(client, params["resource"])
	if oauthErr != nil {
		return none, oauthErr
	}
	scope, oauthErr := s.readScope(client, resource, params.Get("scope"))
	if oauthErr != nil {
		return none, oauthErr
	}
	prompt := strings.Fields(params.Get("prompt"))
	for _, p := range prompt {
		if !slices.Contains([]string{"login", "consent", "none", "select_account"}, p) || p == "none" && len(prompt) > 1 {
			return none, oauth.InvalidRequest("prompt may hold login, consent and select_account, or none alone")
		}
	}
	if slices.Contains(prompt, "none") {
		// Somebody has to look at this before an agent gets access.
		return none, &oauth.Error{Code: "interaction_required", Description: "prompt=none is not offered; ask without it"}
	}
	maxAge := time.Duration(-1)
	if raw := params.Get("max_age"); raw != "" {
		seconds, err := strconv.ParseUint(raw, 10, 31)
		if err != nil {
			return none, oauth.InvalidRequest("max_age must be a number of seconds")
		}
		maxAge = time.Duration(seconds) * time.Second
	}
	return store.Request{
		ID:           rand.Text(),
		ClientID:     client.ID,
		Client:       client, // a document that changes meanwhile is not asked about again
		RedirectURI:  params.Get("redirect_uri"),
		State:        params.Get("state"),
		Scope:        scope,
		Resource:     resource,
		Challenge:    params.Get("code_challenge"),
		JKT:          params.Get("dpop_jkt"),
		Nonce:        params.Get("nonce"),
		ForceLogin:   slices.Contains(prompt, "login") || slices.Contains(prompt, "select_account"),
		ForceConsent: slices.Contains(prompt, "consent"),
		MaxAge:       maxAge,
		ExpiresAt:    s.Now().Add(RequestLifetime),
	}, nil
}

// readResource returns the one resource that the tokens will be for. A client
// that names none gets its first.
func (s *Service) readResource(client store.Client, requested []string) (string, *oauth.Error) {
	switch {
	case len(client.Resources) == 0:
		return "", oauth.InvalidTarget("this client may not ask for access to a resource")
	case len(requested) == 0:
		return client.Resources[0], nil
	case len(requested) > 1:
		return "", oauth.InvalidTarget("ask for one resource at a time: a token is good for one audience")
	}
	resource := s.Site.CanonicalResource(requested[0])
	if !slices.Contains(client.Resources, resource) {
		return "", oauth.InvalidTarget("this client may ask for " + strings.Join(client.Resources, " or "))
	}
	return resource, nil
}

// readScope returns the scope to put to the user: what was asked for, or the
// resource's own when nothing was.
func (s *Service) readScope(client store.Client, resource, requested string) (string, *oauth.Error) {
	if requested == "" {
		return s.resourceScope(client.Scope, resource), nil
	}
	offered := append(s.scopesOf(resource), identityScopes...)
	var scope []string
	for _, v := range strings.Fields(requested) {
		if !slices.Contains(offered, v) || !oauth.HasScope(client.Scope, v) {
			return "", oauth.InvalidScope("this client may ask for " + strings.Join(intersect(strings.Fields(client.Scope), offered), " "))
		}
		if !slices.Contains(scope, v) {
			scope = append(scope, v)
		}
	}
	return strings.Join(scope, " "), nil
}

// NeedsSignIn reports whether the user has to prove again who they are before
// this request may be approved, given when they last did.
func (s *Service) NeedsSignIn(r store.Request, authTime time.Time) bool {
	if r.ForceLogin {
		return true
	}
	return r.MaxAge >= 0 && s.Now().Sub(authTime) > r.MaxAge
}

// NeedsConsent reports whether the user has to be asked. Clients that nobody
// reviewed always ask: whoever can start one could otherwise get a token
// without the user noticing.
func (s *Service) NeedsConsent(ctx context.Context, r store.Request) (bool, error) {
	if !r.Client.Remember || r.ForceConsent {
		return true, nil
	}
	given, err := s.Store.HasConsent(ctx, consentOf(r))
	return !given, err
}

func consentOf(r store.Request) store.Consent {
	return store.Consent{UserID: r.UserID, ClientID: r.ClientID, RedirectURI: r.RedirectURI, Resource: r.Resource, Scope: r.Scope}
}

// Approve turns a request that the user approved into a code. The request is
// taken: however often and from wherever it is approved, there is one code.
// ErrNotFound says that it is gone.
func (s *Service) Approve(ctx context.Context, requestID string, browser store.Hash) (store.Request, string, error) {
	now := s.Now()
	r, err := s.Store.TakeRequest(ctx, requestID, browser, now)
	if err != nil {
		return r, "", fmt.Errorf("take authorization request: %w", err)
	}
	if r.UserID == "" {
		return r, "", fmt.Errorf("authorization request without a user: %w", store.ErrNotFound)
	}
	if err := s.Clients.Remember(ctx, r.Client); err != nil {
		return r, "", fmt.Errorf("remember client: %w", err)
	}
	consent := consentOf(r)
	consent.GivenAt = now
	if err := s.Store.AddConsent(ctx, consent); err != nil {
		return r, "", fmt.Errorf("store consent: %w", err)
	}
	code := newSecret()
	grant := store.Grant{
		ID: rand.Text(), UserID: r.UserID, ClientID: r.ClientID, Resource: r.Resource, Scope: r.Scope, Nonce: r.Nonce,
		AuthTime: r.AuthTime, CreatedAt: now, ExpiresAt: now.Add(GrantLifetime),
	}
	err = s.Store.AddGrant(ctx, grant, store.Code{
		Hash: store.HashOf(code), GrantID: grant.ID, ClientID: r.ClientID, RedirectURI: r.RedirectURI,
		Challenge: r.Challenge, JKT: r.JKT, ExpiresAt: now.Add(CodeLifetime),
	})
	if err != nil {
		return r, "", fmt.Errorf("store grant: %w", err)
	}
	return r, code, nil
}

// Deny ends a request that the user declined.
func (s *Service) Deny(ctx context.Context, requestID string, browser store.Hash) (*RedirectError, error) {
	r, err := s.Store.TakeRequest(ctx, requestID, browser, s.Now())
	if err != nil {
		return nil, fmt.Errorf("take authorization request: %w", err)
	}
	return &RedirectError{r.RedirectURI, r.State, oauth.AccessDenied("the user declined")}, nil
}
