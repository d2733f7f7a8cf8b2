package grants

import (
	"context"
	"errors"
	"fmt"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// ErrScope is a token that was narrowed below what is asked of it.
var ErrScope = errors.New("the token lacks a scope")

// UserInfo are the claims about a user (OpenID Connect Core §5.3.2).
type UserInfo struct {
	Subject  string `json:"sub"`
	Email    string `json:"email,omitempty"`
	Verified bool   `json:"email_verified,omitempty"` // every address here received a passcode
}

// UserInfo says who the user behind an access token is. The token must be for
// this server: one for the MCP server or the API is good there and not here.
// ErrNotFound says that the token is not good, ErrScope that it is and does
// not have the scope openid. prove is told the key that the token is bound to,
// "" for a bearer token, and says whether it is presented as such.
func (s *Service) UserInfo(ctx context.Context, secret string, prove func(boundTo string) error) (UserInfo, error) {
	t, err := s.Store.Token(ctx, store.HashOf(secret))
	if t, err = s.live(ctx, t, err); err != nil {
		return UserInfo{}, fmt.Errorf("find token: %w", err)
	}
	if t.Kind != store.AccessToken || t.Grant.Resource != s.Site.Issuer() {
		return UserInfo{}, store.ErrNotFound
	}
	e := about(ctx, t.Grant)
	e.Token, e.Scope = t.ID, t.Scope
	if err := prove(t.JKT); err != nil {
		return UserInfo{}, err
	}
	if !oauth.HasScope(t.Scope, oauth.ScopeOpenID) {
		return UserInfo{}, ErrScope
	}
	info := UserInfo{Subject: t.User.ID}
	if oauth.HasScope(t.Scope, oauth.ScopeEmail) {
		info.Email, info.Verified = t.User.Email, true
	}
	return info, nil
}
