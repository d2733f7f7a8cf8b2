// Package grants is the authorization server without HTTP: each grant type is
// a use case in a file of its own. Start with authorize.go (may this request
// be put to the user?), then code.go (the code becomes tokens), introspect.go
// (what is behind a token?) and exchange.go (a token for the next hop).
//
// Errors that the client may see are *oauth.Error; every other error is an
// outage.
package grants

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/ids"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
)

// How long things live.
const (
	RequestLifetime   = 15 * time.Minute // from the first redirect to consent
	CodeLifetime      = time.Minute
	AccessLifetime    = 15 * time.Minute
	ExchangedLifetime = 5 * time.Minute // at most: never longer than the token that was exchanged
	RefreshIdle       = 7 * 24 * time.Hour
	GrantLifetime     = 30 * 24 * time.Hour // absolute: refreshing does not extend it
)

// RefreshesPerHour is how often the tokens of one grant may be replaced. It is
// many times what a client needs; each one stays in the store until the grant
// ends, and in the audit trail for longer.
const RefreshesPerHour = 1800

// grantStore is what the use cases need of the store: those of one file beside
// it, and here what several share.
type grantStore interface {
	requestStore
	pushedStore
	codeStore
	consentStore
	deviceStore
	approvalStore
	accountStore
	overviewStore

	AddTokens(ctx context.Context, tokens ...store.Token) error
	Token(ctx context.Context, hash store.Hash) (store.LiveToken, error)
	TokenByID(ctx context.Context, id string) (store.LiveToken, error)
	RevokeToken(ctx context.Context, hash store.Hash) error
	RevokeGrant(ctx context.Context, id string) error
	AddClientGrant(ctx context.Context, g store.Grant, t store.Token) error
	Rotate(ctx context.Context, hash store.Hash, now time.Time, grace time.Duration, issue func() (access, refresh store.Token, err error)) error
	NoteUses(ctx context.Context, uses map[string]time.Time) error
}

// Service performs the grants.
type Service struct {
	Site    site.Site
	Store   grantStore
	Clients *clients.Registry
	Keys    *keys.Ring
	Log     *slog.Logger
	Now     func() time.Time

	DeviceKey []byte          // keys the user codes of devices; not in the store
	Refreshes *limits.Limiter // by grant; New sets it

	// jwts keeps the JWT behind each opaque token, so that it is signed once.
	// Whether the token still is good is asked of the store every time.
	jwts *lru.Cache[string, string]

	uses *uses
}

// jwtCache is how many signed JWTs are kept: about 1 kB each.
const jwtCache = 20_000

// New completes a service whose exported fields are set.
func New(s Service) *Service {
	cache, err := lru.New[string, string](jwtCache)
	if err != nil {
		panic(err) // only for a size below one
	}
	s.jwts, s.uses = cache, &uses{last: map[string]use{}}
	s.Refreshes = limits.New(RefreshesPerHour, math.MaxInt, time.Hour, s.Now)
	return &s
}

// Tokens is a successful token answer (RFC 6749 §5.1).
type Tokens struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type,omitempty"` // token exchange only (RFC 8693 §2.2.1)
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	RefreshToken    string `json:"refresh_token,omitempty"`
	IDToken         string `json:"id_token,omitempty"`
	Scope           string `json:"scope"`

	AuthorizationDetails []token.AuthorizationDetail `json:"authorization_details,omitempty"` // what an approval is for (RFC 9396 §7)
}

// newSecret returns 256 random bits, as the codes and tokens are.
func newSecret() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// scopesOf lists what can be asked for at a resource. openid, email and
// offline_access are between the client and this server and never reach a
// resource.
func (s *Service) scopesOf(resource string) []string {
	switch resource {
	case s.Site.MCPResource(), s.Site.APIResource():
		return []string{oauth.ScopeStocksRead, oauth.ScopeStocksTrade}
	}
	return nil
}

// defaultScope is what a client gets that names no scope: reading, and never
// trading, which has to be asked for by name.
func (s *Service) defaultScope(client store.Client, resource string) string {
	scope := oauth.ScopeStocksRead
	if resource == s.Site.Issuer() {
		scope = oauth.ScopeOpenID
	}
	if !oauth.HasScope(client.Scope, scope) {
		return ""
	}
	return scope
}

// identityScopes concern this server alone.
var identityScopes = []string{oauth.ScopeOpenID, oauth.ScopeEmail, oauth.ScopeOfflineAccess}

// Scopes lists every scope that can be asked for, for the metadata.
func (s *Service) Scopes() []string {
	return append(slices.Clone(s.scopesOf(s.Site.MCPResource())), identityScopes...)
}

// resourceScope is the part of a scope that the token's audience sees.
func (s *Service) resourceScope(scope, resource string) string {
	return strings.Join(intersect(strings.Fields(scope), s.scopesOf(resource)), " ")
}

func intersect(a, b []string) []string {
	out := []string{}
	for _, v := range a {
		if slices.Contains(b, v) {
			out = append(out, v)
		}
	}
	return out
}

// narrow returns the requested scope, or the granted one when none is
// requested. Asking for more than was granted is an error (RFC 6749 §6).
func narrow(requested, granted string) (string, error) {
	fields := strings.Fields(requested)
	if len(fields) == 0 {
		return granted, nil
	}
	for _, v := range fields {
		if !oauth.HasScope(granted, v) {
			return "", oauth.InvalidScope("the scope is wider than what was granted; ask the user again with a new authorization request")
		}
	}
	return strings.Join(fields, " "), nil
}

// lifetimeFor is how long a grant lives that a client gets now, and what its user
// is told. It decides about refresh tokens as well, whatever the client registers
// for later: without one the grant is over when its one access token is, which
// may be asked for as late as the code allows.
func lifetimeFor(c store.Client) time.Duration {
	if clients.AllowsGrant(c, "refresh_token") {
		return GrantLifetime
	}
	return CodeLifetime + AccessLifetime
}

// refreshes reports whether the user of a grant was told that it lasts.
func refreshes(g store.Grant) bool {
	return g.ExpiresAt.Sub(g.CreatedAt) > CodeLifetime+AccessLifetime
}

// issue stores and returns an access token for a grant, and a refresh token
// where the client registered for one and the user knew of it.
func (s *Service) issue(ctx context.Context, c store.Client, g store.Grant, scope, grantScope string) (Tokens, error) {
	out, access := s.newAccess(ctx, g, scope)
	tokens := []store.Token{access}
	if refreshes(g) && clients.AllowsGrant(c, "refresh_token") {
		secret, refresh := s.newRefresh(ctx, c, g, grantScope)
		out.RefreshToken = secret
		tokens = append(tokens, refresh)
	}
	err := s.Store.AddTokens(ctx, tokens...)
	if errors.Is(err, store.ErrNotFound) {
		return Tokens{}, oauth.InvalidGrant("the grant was revoked; start a new authorization request")
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("store tokens: %w", err)
	}
	return out, nil
}

// newAccess makes an access token. It is good once it is stored.
func (s *Service) newAccess(ctx context.Context, g store.Grant, scope string) (Tokens, store.Token) {
	now, secret, id := s.Now(), newSecret(), ids.New(s.Now())
	expires := earliest(now.Add(AccessLifetime), g.ExpiresAt)
	e := about(ctx, g)
	e.Token, e.Scope = id, scope
	return Tokens{
			AccessToken: secret,
			TokenType:   tokenType(proofKeyOf(ctx)),
			ExpiresIn:   int64(expires.Sub(now).Seconds()),
			Scope:       scope,
		}, store.Token{
			Hash: store.HashOf(secret), ID: id, Kind: store.AccessToken,
			GrantID: g.ID, Scope: scope, JKT: proofKeyOf(ctx), IssuedAt: now, ExpiresAt: expires,
		}
}

// newRefresh makes a refresh token. It is good once it is stored.
func (s *Service) newRefresh(ctx context.Context, c store.Client, g store.Grant, scope string) (secret string, t store.Token) {
	now, secret := s.Now(), newSecret()
	return secret, store.Token{
		Hash: store.HashOf(secret), ID: ids.New(now), Kind: store.RefreshToken,
		GrantID: g.ID, Scope: scope, JKT: refreshKeyOf(ctx, c), IssuedAt: now, ExpiresAt: earliest(now.Add(RefreshIdle), g.ExpiresAt),
	}
}

// live returns the token behind an opaque secret with its client, or
// ErrNotFound when it is not good for anything any more, for whatever reason.
func (s *Service) live(ctx context.Context, t store.LiveToken, err error) (store.LiveToken, error) {
	if err != nil {
		return t, err
	}
	now := s.Now()
	if t.Used || t.Revoked || !now.Before(t.ExpiresAt) {
		return t, store.ErrNotFound
	}
	return s.liveGrant(ctx, t)
}

// liveGrant checks what a token hangs on: the grant, the user, the client.
func (s *Service) liveGrant(ctx context.Context, t store.LiveToken) (store.LiveToken, error) {
	own := t.Grant.UserID == "" // the client acts for itself
	if t.Grant.Revoked || !s.Now().Before(t.Grant.ExpiresAt) || !own && t.User.Status != store.UserApproved {
		return t, store.ErrNotFound
	}
	if reviewed := s.Clients.Presets[t.Grant.ClientID]; t.Client.ID == "" || reviewed.ID != "" { // which go before what the store holds
		c, err := s.Clients.Find(ctx, t.Grant.ClientID)
		if errors.Is(err, clients.ErrUnknown) {
			return t, store.ErrNotFound
		}
		if err != nil {
			return t, err
		}
		t.Client = c
	}
	if own && !actsForItself(t.Client) {
		return t, store.ErrNotFound
	}
	// What the client may ask for bounds what it was given: taking that away
	// counts at once.
	if t.Grant.Resource != s.Site.Issuer() && !slices.Contains(t.Client.Resources, t.Grant.Resource) {
		return t, store.ErrNotFound
	}
	t.Scope = strings.Join(intersect(strings.Fields(t.Scope), strings.Fields(t.Client.Scope)), " ")
	return t, nil
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
