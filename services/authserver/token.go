package authserver

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
)

// token serves POST /token (RFC 6749 §3.2). zitadel/oidc decodes the request
// and picks the grant; provider, below, hands it to the use case.
func (s *server) token() echo.HandlerFunc {
	handler := s.provider(op.Endpoints{Token: op.NewEndpoint("/token")})
	return func(c echo.Context) error {
		r := c.Request()
		grant := r.PostForm.Get("grant_type")
		if grant == "" {
			return oauth.InvalidRequest("grant_type is missing")
		}
		if !slices.Contains(grantTypes, grant) {
			return &oauth.Error{Code: "unsupported_grant_type", Description: "use " + strings.Join(grantTypes, ", "), Status: http.StatusBadRequest}
		}
		if grant == "authorization_code" && !r.PostForm.Has("redirect_uri") {
			// OAuth 2.1 dropped the parameter and the library demands it. The use
			// case looks at what the client really sent.
			r.Form.Set("redirect_uri", "not sent")
		}
		handler.ServeHTTP(tokenAnswer{c.Response()}, r)
		return nil
	}
}

// revoke serves POST /revoke (RFC 7009 §2).
func (s *server) revoke() echo.HandlerFunc {
	handler := s.provider(op.Endpoints{Revocation: op.NewEndpoint("/revoke")})
	return func(c echo.Context) error {
		handler.ServeHTTP(tokenAnswer{c.Response()}, c.Request())
		return nil
	}
}

// provider is our side of zitadel/oidc. Everything that it does not implement
// stays refused by the embedded type.
type provider struct {
	op.UnimplementedServer
	s *server
}

func (s *server) provider(endpoints op.Endpoints) http.Handler {
	return op.RegisterServer(provider{s: s}, endpoints, op.WithServerCORSOptions(nil)) // ours is in middleware.go
}

// VerifyClient returns the client that the authenticated middleware let pass.
func (p provider) VerifyClient(ctx context.Context, _ *op.Request[op.ClientCredentials]) (op.Client, error) {
	return opClient{clientOf(ctx)}, nil
}

// CodeExchange implements the authorization code grant.
func (p provider) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	resource, err := oneResource(r.PostForm["resource"])
	if err != nil {
		return nil, p.fail(ctx, err)
	}
	return p.answer(ctx)(p.s.grants.RedeemCode(ctx, clientOf(ctx), grants.CodeRequest{
		Code:         r.Data.Code,
		Verifier:     r.Data.CodeVerifier,
		RedirectURI:  r.Data.RedirectURI,
		RedirectSent: r.PostForm.Has("redirect_uri"),
		Resource:     resource,
	}))
}

// RefreshToken implements the refresh token grant.
func (p provider) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	resource, err := oneResource(r.PostForm["resource"])
	if err != nil {
		return nil, p.fail(ctx, err)
	}
	return p.answer(ctx)(p.s.grants.Refresh(ctx, clientOf(ctx), r.Data.RefreshToken, r.PostForm.Get("scope"), resource))
}

// ClientCredentialsExchange implements the client credentials grant.
func (p provider) ClientCredentialsExchange(ctx context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest]) (*op.Response, error) {
	return p.answer(ctx)(p.s.grants.ClientCredentials(ctx, clientOf(ctx), r.PostForm.Get("scope"), r.PostForm["resource"]))
}

// TokenExchange implements RFC 8693.
func (p provider) TokenExchange(ctx context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest]) (*op.Response, error) {
	return p.answer(ctx)(p.s.grants.Exchange(ctx, clientOf(ctx), grants.ExchangeRequest{
		SubjectToken:       r.Data.SubjectToken,
		SubjectTokenType:   string(r.Data.SubjectTokenType),
		RequestedTokenType: string(r.Data.RequestedTokenType),
		Targets:            append(slices.Clone(r.PostForm["resource"]), r.PostForm["audience"]...),
		Scope:              r.PostForm.Get("scope"),
		HasActorToken:      r.Data.ActorToken != "",
		ApprovalID:         r.PostForm.Get("approval_id"),
	}))
}

// Revocation implements RFC 7009.
func (p provider) Revocation(ctx context.Context, r *op.ClientRequest[oidc.RevocationRequest]) (*op.Response, error) {
	if err := p.s.grants.Revoke(ctx, clientOf(ctx), r.Data.Token); err != nil {
		return nil, p.fail(ctx, err)
	}
	return op.NewResponse(nil), nil
}

// oneResource returns the resource parameter, of which RFC 8707 §2.2 allows
// several and this server one.
func oneResource(values []string) (string, error) {
	if len(values) > 1 {
		return "", oauth.InvalidTarget("ask for one resource at a time: a token is good for one audience")
	}
	return strings.Join(values, ""), nil
}

// answer turns the result of a use case into what the library writes.
func (p provider) answer(ctx context.Context) func(grants.Tokens, error) (*op.Response, error) {
	return func(t grants.Tokens, err error) (*op.Response, error) {
		if err != nil {
			return nil, p.fail(ctx, err)
		}
		return op.NewResponse(t), nil
	}
}

// fail turns an error into one that the library writes as it is. What is not
// meant for the client is logged and becomes an outage.
func (p provider) fail(ctx context.Context, err error) error {
	var e *oauth.Error
	if !errors.As(err, &e) {
		p.s.log.ErrorContext(ctx, "token request failed", "request_id", httpserver.RequestID(ctx), "error", err.Error())
		e = oauth.Unavailable()
	}
	event := audit.On(ctx)
	event.Reason = e.Error()
	if e.Code == "authorization_pending" || e.Code == "slow_down" {
		event.Kind = "" // asking again and again is how it is done
	}
	out := &oidc.Error{Description: e.Description}
	setString(&out.ErrorType, e.Code)
	return op.NewStatusError(out, e.Status)
}

// setString sets a field of a type that the library does not export.
func setString[T ~string](field *T, value string) { *field = T(value) }

// tokenAnswer adds to the library's answers what it leaves out.
type tokenAnswer struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w tokenAnswer) WriteHeader(status int) {
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="authorization server"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "2")
	case http.StatusTooManyRequests: // how long is not known here
		w.Header().Set("Retry-After", "60")
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter. A revocation has nothing to say, for
// which the library writes null.
func (w tokenAnswer) Write(b []byte) (int, error) {
	if bytes.Equal(bytes.TrimSpace(b), []byte("null")) {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// opClient shows one of our clients to the library, which only uses its grant
// types here.
type opClient struct{ store.Client }

func (c opClient) GetID() string                    { return c.ID }
func (c opClient) RedirectURIs() []string           { return c.Client.RedirectURIs }
func (c opClient) PostLogoutRedirectURIs() []string { return c.LogoutURIs }
func (opClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (opClient) LoginURL(string) string                                       { return "" }
func (opClient) AccessTokenType() op.AccessTokenType                          { return op.AccessTokenTypeBearer }
func (opClient) IDTokenLifetime() time.Duration                               { return grants.AccessLifetime }
func (opClient) DevMode() bool                                                { return false }
func (opClient) RestrictAdditionalIdTokenScopes() func([]string) []string     { return keepScopes }
func (opClient) RestrictAdditionalAccessTokenScopes() func([]string) []string { return keepScopes }
func (c opClient) IsScopeAllowed(scope string) bool                           { return oauth.HasScope(c.Scope, scope) }
func (opClient) IDTokenUserinfoClaimsAssertion() bool                         { return false }
func (opClient) ClockSkew() time.Duration                                     { return 0 }

func keepScopes(scopes []string) []string { return scopes }

// ApplicationType implements op.Client.
func (c opClient) ApplicationType() op.ApplicationType {
	if c.Client.AuthMethod == clients.AuthNone {
		return op.ApplicationTypeNative
	}
	return op.ApplicationTypeWeb
}

// AuthMethod implements op.Client.
func (c opClient) AuthMethod() oidc.AuthMethod { return oidc.AuthMethod(c.Client.AuthMethod) }

// GrantTypes implements op.Client.
func (c opClient) GrantTypes() []oidc.GrantType {
	var out []oidc.GrantType
	for _, g := range c.Client.GrantTypes {
		out = append(out, oidc.GrantType(g))
	}
	return out
}
