package grants

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

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

// LocalError is an authorization request whose client or redirect URI cannot be
// trusted: the user is told, and nobody is redirected (RFC 6749 §4.1.2.1).
type LocalError struct {
	Reason    string
	Suspended bool // it would be of no use to begin again
}

func (e LocalError) Error() string { return e.Reason }

// ErrRepeated is a parameter that is there twice. It is not named: anybody can
// put words there that a page would then show as ours.
var ErrRepeated = LocalError{Reason: "A parameter was sent more than once."}

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
// error, be sent there. Errors are LocalError, *RedirectError, or an outage.
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
			return client, LocalError{Reason: "The people who run this server do not let it in any more. You were not sent anywhere, and nothing was shared.", Suspended: true}
		}
		return client, LocalError{Reason: "The application that sent you here is not known, or its description could not be fetched."}
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
		return store.Request{}, LocalError{Reason: "The application asked to send you to an address that it did not register."}
	}
	request, oauthErr := s.readRequest(client, params)
	if oauthErr != nil {
		return store.Request{}, &RedirectError{redirect, params.Get("state"), oauthErr}
	}
	return request, nil
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
// address that the code would go to, was taken away since the request began, or
// when the client is called something else than the pages said.
func (s *Service) stillRegistered(ctx context.Context, r store.Request) error {
	if r.Client.Registration == store.RegisteredByDocument && !s.Clients.IsSuspended(r.ClientID) {
		return nil
	}
	c, err := s.Clients.Find(ctx, r.ClientID)
	if errors.Is(err, clients.ErrUnknown) || err == nil && (c.Name != r.Client.Name || r.Device == "" && !clients.IsRedirect(c, r.RedirectURI)) {
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
