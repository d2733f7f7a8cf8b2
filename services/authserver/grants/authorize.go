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
	"unicode/utf8"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/ids"
	"demo.example/services/internal/oauth"
)

// requestStore is what putting a request to the user needs of the store.
type requestStore interface {
	AddRequest(ctx context.Context, r store.Request) error
	TakeRequest(ctx context.Context, id string, browser store.Hash, now time.Time) (store.Request, error)
	AddConsent(ctx context.Context, c store.Consent) error
	HasConsent(ctx context.Context, c store.Consent) (bool, error)
	AddGrant(ctx context.Context, g store.Grant, c store.Code) error
}

// ErrLocal is an authorization request whose client or redirect URI cannot be
// trusted: the user is told, and nobody is redirected (RFC 6749 §4.1.2.1).
type ErrLocal struct{ Reason string }

func (e ErrLocal) Error() string { return e.Reason }

// ErrRepeated is a parameter that is there twice. It is not named: anybody can
// put words there that a page would then show as ours.
var ErrRepeated = ErrLocal{"A parameter was sent more than once."}

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
			return store.Request{}, ErrRepeated
		}
	}
	var request store.Request
	var err error
	if isPushed(params) {
		request, err = s.takePushed(ctx, params)
	} else {
		request, err = s.read(ctx, params)
	}
	if err != nil {
		return store.Request{}, err
	}
	request.Browser = browser
	if err := s.Store.AddRequest(ctx, request); err != nil {
		return store.Request{}, fmt.Errorf("store authorization request: %w", err)
	}
	return request, nil
}

// resolve finds the client that a browser was sent by.
func (s *Service) resolve(ctx context.Context, id string) (store.Client, error) {
	client, err := s.Clients.Resolve(ctx, id)
	if errors.Is(err, clients.ErrUnknown) {
		s.Log.InfoContext(ctx, "client not resolved", "client_id", id, "reason", err.Error())
		if errors.Is(err, clients.ErrSuspended) {
			return client, ErrLocal{"The application that sent you here was suspended by those who run this server."}
		}
		return client, ErrLocal{"The application that sent you here is not known, or its description could not be fetched."}
	}
	return client, err
}

// read checks an authorization request whose parameters the browser brings.
func (s *Service) read(ctx context.Context, params url.Values) (store.Request, error) {
	client, err := s.resolve(ctx, params.Get("client_id"))
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
	return request, nil
}

// maxParam bounds what is kept of state and nonce, in bytes.
const maxParam = 2048

// Prompts are the values of prompt that are served (OpenID Connect Core
// §3.1.2.1).
var Prompts = []string{"none", "login", "consent", "select_account"}

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
	case !utf8.ValidString(params.Get("state") + params.Get("nonce")):
		return none, oauth.InvalidRequest("state and nonce must be text; it could not be given back as it was sent")
	case !challengeForm.MatchString(params.Get("code_challenge")):
		return none, oauth.InvalidRequest("PKCE is required: send a code_challenge of 43 characters (RFC 7636)")
	case params.Get("code_challenge_method") != "S256":
		return none, oauth.InvalidRequest("PKCE is required with code_challenge_method=S256")
	case params.Has("dpop_jkt") && !thumbprintForm.MatchString(params.Get("dpop_jkt")):
		return none, oauth.InvalidRequest("dpop_jkt must be the SHA-256 thumbprint of a key, 43 characters (RFC 7638)")
	}
	resource, oauthErr := s.readResource(client, params["resource"], params.Get("scope"))
	if oauthErr != nil {
		return none, oauthErr
	}
	scope, oauthErr := s.readScope(client, resource, params.Get("scope"))
	if oauthErr != nil {
		return none, oauthErr
	}
	prompt := strings.Fields(params.Get("prompt"))
	for _, p := range prompt {
		if !slices.Contains(Prompts, p) || p == "none" && len(prompt) > 1 {
			return none, oauth.InvalidRequest("prompt may hold login, consent and select_account, or none alone")
		}
	}
	hinted, oauthErr := s.readHint(client, params)
	if oauthErr != nil {
		return none, oauthErr
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
		Client:       snapshot(client),
		RedirectURI:  params.Get("redirect_uri"),
		State:        params.Get("state"),
		Scope:        scope,
		Resource:     resource,
		Challenge:    params.Get("code_challenge"),
		JKT:          params.Get("dpop_jkt"),
		Nonce:        params.Get("nonce"),
		ForceLogin:   slices.Contains(prompt, "login") || slices.Contains(prompt, "select_account"),
		ForceConsent: slices.Contains(prompt, "consent"),
		Silent:       slices.Contains(prompt, "none"),
		HintedUser:   hinted,
		MaxAge:       maxAge,
		ExpiresAt:    s.Now().Add(RequestLifetime),
	}, nil
}

// readResource returns the one resource that the tokens will be for. A client
// that names none gets its first, or, when it only wants to know who the user
// is, this server itself, which tells that at its userinfo endpoint.
func (s *Service) readResource(client store.Client, requested []string, scope string) (string, *oauth.Error) {
	allowed := slices.Clone(client.Resources)
	if oauth.HasScope(client.Scope, oauth.ScopeOpenID) {
		allowed = append(allowed, s.Site.Issuer())
	}
	switch {
	case len(client.Resources) == 0:
		return "", oauth.InvalidTarget("this client may not ask for access to a resource")
	case len(requested) == 0 && slices.Contains(allowed, s.Site.Issuer()) && isIdentity(scope):
		return s.Site.Issuer(), nil
	case len(requested) == 0:
		return client.Resources[0], nil
	case len(requested) > 1:
		return "", oauth.InvalidTarget("ask for one resource at a time: a token is good for one audience")
	}
	resource := s.Site.CanonicalResource(requested[0])
	if !slices.Contains(allowed, resource) {
		return "", oauth.InvalidTarget("this client may ask for " + strings.Join(allowed, " or "))
	}
	return resource, nil
}

// isIdentity reports whether a scope is about who the user is and nothing else.
func isIdentity(scope string) bool {
	return oauth.HasScope(scope, oauth.ScopeOpenID) && len(intersect(strings.Fields(scope), identityScopes)) == len(strings.Fields(scope))
}

// readScope returns the scope to put to the user: what was asked for, or the
// resource's own when nothing was.
func (s *Service) readScope(client store.Client, resource, requested string) (string, *oauth.Error) {
	offered := append(s.scopesOf(resource), identityScopes...)
	may := oauth.InvalidScope("this client may ask for " + strings.Join(intersect(strings.Fields(client.Scope), offered), " "))
	if requested == "" {
		if requested = s.defaultScope(client, resource); requested == "" {
			return "", may
		}
	}
	if resource == s.Site.Issuer() && !oauth.HasScope(requested, oauth.ScopeOpenID) {
		return "", oauth.InvalidScope("a token for " + resource + " needs the scope openid")
	}
	var scope []string
	for _, v := range strings.Fields(requested) {
		if !slices.Contains(offered, v) || !oauth.HasScope(client.Scope, v) {
			return "", may
		}
		if !slices.Contains(scope, v) {
			scope = append(scope, v)
		}
	}
	switch {
	case slices.Contains(scope, oauth.ScopeEmail) && !slices.Contains(scope, oauth.ScopeOpenID):
		return "", oauth.InvalidScope("the scope email says what an ID token holds: ask for openid as well")
	case slices.Equal(scope, []string{oauth.ScopeOfflineAccess}):
		return "", oauth.InvalidScope("offline_access says how long and not what for: name another scope as well")
	}
	return strings.Join(scope, " "), nil
}

// TradeSignInAge is how old a sign-in may be when a client asks for
// stocks/trade. A session lasts for hours, in which somebody else may have sat
// down at the browser; a passcode of five minutes ago, its own lifetime, shows
// that whoever reads the mail is still there.
const TradeSignInAge = 5 * time.Minute

// NeedsSignIn reports whether the user has to prove again who they are before
// this request may be approved, given when they last did.
func (s *Service) NeedsSignIn(r store.Request, authTime time.Time) bool {
	age := s.Now().Sub(authTime)
	if r.ForceLogin || oauth.HasScope(r.Scope, oauth.ScopeStocksTrade) && age > TradeSignInAge {
		return true
	}
	return r.MaxAge >= 0 && age > r.MaxAge
}

// IsStale reports whether the sign-in of a request got too old while its pages
// were open. (prompt and max_age were settled when the user signed in.)
func (s *Service) IsStale(r store.Request) bool {
	return oauth.HasScope(r.Scope, oauth.ScopeStocksTrade) && s.Now().Sub(r.AuthTime) > TradeSignInAge
}

// NeedsConsent reports whether the user has to be asked. Clients that nobody
// reviewed always ask: whoever can start one could otherwise get a token
// without the user noticing. So do devices: it may be somebody else's (RFC 8628
// §5.4).
func (s *Service) NeedsConsent(ctx context.Context, r store.Request) (bool, error) {
	if !r.Client.Remember || r.ForceConsent || r.Device != "" {
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
// ErrNotFound says that it is gone. A device that waits gets no code: it polls.
func (s *Service) Approve(ctx context.Context, requestID string, browser store.Hash) (store.Request, string, error) {
	now := s.Now()
	r, err := s.Store.TakeRequest(ctx, requestID, browser, now)
	if err != nil {
		return r, "", fmt.Errorf("take authorization request: %w", err)
	}
	if r.UserID == "" {
		return r, "", fmt.Errorf("authorization request without a user: %w", store.ErrNotFound)
	}
	if err := s.stillRegistered(ctx, r); err != nil {
		return r, "", err
	}
	if err := s.Clients.Remember(ctx, r.Client, now.Add(GrantLifetime)); err != nil {
		return r, "", fmt.Errorf("remember client: %w", err)
	}
	code := newSecret()
	grant := store.Grant{
		ID: ids.New(now), UserID: r.UserID, ClientID: r.ClientID, Resource: r.Resource, Scope: r.Scope, Nonce: r.Nonce,
		AuthTime: r.AuthTime, CreatedAt: now, ExpiresAt: now.Add(lifetimeFor(r.Client)),
	}
	about(ctx, grant).Scope = r.Scope
	if r.Device != "" {
		if err := s.Store.ApproveDevice(ctx, r.Device, grant, now); err != nil {
			return r, "", fmt.Errorf("approve device: %w", err)
		}
		return r, "", nil
	}
	if r.Client.Remember { // the others are asked every time
		consent := consentOf(r)
		consent.GivenAt = now
		if err := s.Store.AddConsent(ctx, consent); err != nil {
			return r, "", fmt.Errorf("store consent: %w", err)
		}
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

// snapshot is what the pages and the approval of a request need of its client.
// A document that changes meanwhile is not asked about again, so all that it
// said is kept; other clients are found again where more of them is needed.
func snapshot(c store.Client) store.Client {
	if c.Registration != store.RegisteredByDocument {
		c.RedirectURIs, c.LogoutURIs, c.JWKS = nil, nil, ""
	}
	return c
}

// stillRegistered returns ErrNotFound when the client of a request, or the
// address that the code would go to, was taken away since the request began.
func (s *Service) stillRegistered(ctx context.Context, r store.Request) error {
	if r.Client.Registration == store.RegisteredByDocument && !s.Clients.IsSuspended(r.ClientID) {
		return nil
	}
	c, err := s.Clients.Find(ctx, r.ClientID)
	if errors.Is(err, clients.ErrUnknown) || err == nil && r.Device == "" && !clients.IsRedirect(c, r.RedirectURI) {
		return fmt.Errorf("client of the request: %w", store.ErrNotFound)
	}
	return err
}

// Refuse ends a request and returns what to tell the client. ErrNotFound says
// that the request is gone.
func (s *Service) Refuse(ctx context.Context, requestID string, browser store.Hash, why *oauth.Error) (*RedirectError, error) {
	r, err := s.Store.TakeRequest(ctx, requestID, browser, s.Now())
	if err != nil {
		return nil, fmt.Errorf("take authorization request: %w", err)
	}
	if r.Device != "" {
		if err := s.Store.DenyDevice(ctx, r.Device); err != nil {
			return nil, fmt.Errorf("deny device: %w", err)
		}
	}
	return &RedirectError{r.RedirectURI, r.State, why}, nil
}
