package grants

import (
	"context"
	"fmt"
	"strings"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/ids"
	"demo.example/services/internal/oauth"
)

// ClientCredentials gives a client a token to act for itself (RFC 6749 §4.4).
// No user is there to consent, so it takes a client that was reviewed and that
// proves who it is. There is no refresh token (§4.4.3): the client can ask
// again whenever it likes.
func (s *Service) ClientCredentials(ctx context.Context, c store.Client, requested string, resources []string) (Tokens, error) {
	if !actsForItself(c) {
		return Tokens{}, oauth.UnauthorizedClient("client_credentials is for confidential clients that an administrator registered for it; use authorization_code")
	}
	resource, oauthErr := s.readResource(c, resources, requested)
	if oauthErr != nil {
		return Tokens{}, oauthErr
	}
	scope, oauthErr := s.ownScope(c, resource, requested)
	if oauthErr != nil {
		return Tokens{}, oauthErr
	}
	now := s.Now()
	access, expires := newSecret(), now.Add(AccessLifetime)
	grant := store.Grant{ID: ids.New(now), ClientID: c.ID, Resource: resource, Scope: scope, CreatedAt: now, ExpiresAt: expires}
	id := ids.New(now)
	e := about(ctx, grant)
	e.User, e.Token, e.Scope = ownSubject(c), id, scope
	err := s.Store.AddClientGrant(ctx, grant, store.Token{
		Hash: store.HashOf(access), ID: id, Kind: store.AccessToken,
		GrantID: grant.ID, Scope: scope, JKT: proofKeyOf(ctx), IssuedAt: now, ExpiresAt: expires,
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("store token: %w", err)
	}
	return Tokens{AccessToken: access, TokenType: tokenType(proofKeyOf(ctx)), ExpiresIn: int64(AccessLifetime.Seconds()), Scope: scope}, nil
}

// ownScope returns the scope of a client's own token: what it asks for of the
// resource's scopes that it is registered for, or all of them. openid and its
// kin are about a user, and there is none.
func (s *Service) ownScope(c store.Client, resource, requested string) (string, *oauth.Error) {
	granted := s.resourceScope(c.Scope, resource)
	scope := granted
	if wanted := strings.Fields(requested); len(wanted) > 0 {
		scope = strings.Join(intersect(strings.Fields(granted), wanted), " ")
		for _, v := range wanted {
			if !oauth.HasScope(granted, v) {
				return "", oauth.InvalidScope("this client may ask for " + granted)
			}
		}
	}
	if scope == "" {
		return "", oauth.InvalidScope("this client is registered for no scope of " + resource)
	}
	return scope, nil
}

// actsForItself reports whether a client may have tokens of its own. It is
// asked again whenever such a token is used: a client that is taken out of the
// reviewed file, or loses the grant type there, takes its tokens along.
func actsForItself(c store.Client) bool {
	return c.Registration == store.RegisteredByReview && c.AuthMethod != clients.AuthNone && clients.AllowsGrant(c, "client_credentials")
}

// ownSubject is the sub of a client's own token. Users' ids begin otherwise,
// so that no resource takes a client for a person, whatever the client is
// called (RFC 9068 §5).
func ownSubject(c store.Client) string { return "client:" + c.ID }
