package grants

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// ExchangeRule allows one client to trade tokens of one audience for tokens of
// another.
type ExchangeRule struct {
	Client   string
	From, To string   // audiences
	Scopes   []string // at most
	Approved []string // beyond them, for one operation that the user approved (approval.go)
}

// ExchangePolicy is the whole of who may exchange what. Everything else is
// refused.
func (s *Service) ExchangePolicy() []ExchangeRule {
	return []ExchangeRule{
		{Client: "stocksmcp", From: s.Site.MCPResource(), To: s.Site.APIResource(), Scopes: []string{oauth.ScopeStocksRead}, Approved: []string{oauth.ScopeStocksTrade}},
	}
}

// ExchangeRequest is a token exchange (RFC 8693 §2.1).
type ExchangeRequest struct {
	SubjectToken       string
	SubjectTokenType   string
	RequestedTokenType string   // empty means an access token
	Targets            []string // resource and audience
	Scope              string
	HasActorToken      bool
	ApprovalID         string // of the operation that the token is to be good for, if any (approval.go)
}

// Exchange trades the token that a resource server was called with for one for
// the next hop. It is for the same user and client, for no wider scope and no
// longer time, and names the caller as the actor.
func (s *Service) Exchange(ctx context.Context, caller store.Client, req ExchangeRequest) (Tokens, error) {
	rule, err := s.exchangeRule(caller, req)
	if err != nil {
		return Tokens{}, err
	}
	return s.exchange(ctx, caller, rule, req)
}

// exchange does it under the rule that allows it.
func (s *Service) exchange(ctx context.Context, caller store.Client, rule ExchangeRule, req ExchangeRequest) (Tokens, error) {
	event := audit.On(ctx)
	event.Kind, event.Audience = audit.TokenExchanged, rule.To
	subject, t, err := s.subject(ctx, rule, req)
	if isInactive(err) {
		return Tokens{}, oauth.InvalidRequest("the subject token is not a valid access token for " + rule.From)
	}
	if err != nil {
		return Tokens{}, err
	}
	about(ctx, t.Grant).Audience = rule.To
	allowed, lifetime := rule.Scopes, ExchangedLifetime
	if req.ApprovalID != "" {
		allowed, lifetime = slices.Concat(rule.Scopes, rule.Approved), ApprovedLifetime
	}
	scope, err := narrow(req.Scope, strings.Join(intersect(strings.Fields(subject.Scope), allowed), " "))
	if err != nil {
		return Tokens{}, err
	}
	if scope == "" {
		return Tokens{}, oauth.InvalidScope("nothing of the subject token's scope is good for " + rule.To)
	}
	if req.ApprovalID != "" && !hasAny(scope, rule.Approved) {
		return Tokens{}, oauth.InvalidScope("an approval is for " + strings.Join(rule.Approved, " ") + ", which the subject token lacks or you did not ask for")
	}
	now := s.Now()
	claims := s.claims(t)
	claims.ID = t.ID + originSeparator + rand.Text()
	claims.Audience = jwt.ClaimStrings{rule.To}
	claims.Scope = scope
	claims.IssuedAt = jwt.NewNumericDate(now)
	claims.ExpiresAt = jwt.NewNumericDate(earliest(now.Add(lifetime), subject.ExpiresAt.Time))
	claims.Actor = &token.Actor{Subject: caller.ID, Actor: subject.Actor} // RFC 8693 §4.1: the newest actor is outermost
	if req.ApprovalID != "" {                                             // last of all: it is used up
		if err := s.takeApproval(ctx, caller, req.ApprovalID, t, &claims); err != nil {
			return Tokens{}, err
		}
	}
	event.User, event.Token, event.Scope, event.Actors = claims.Subject, claims.ID, scope, audit.Actors(claims.Actor)
	raw, err := s.Keys.Sign(token.Type, claims)
	if err != nil {
		return Tokens{}, fmt.Errorf("sign token: %w", err)
	}
	issued := req.RequestedTokenType
	if issued == "" {
		issued = oauth.TokenTypeAccessToken
	}
	return Tokens{
		AccessToken:     raw,
		IssuedTokenType: issued,
		TokenType:       "Bearer",
		ExpiresIn:       int64(claims.ExpiresAt.Sub(now).Seconds()),
		Scope:           scope,

		AuthorizationDetails: claims.AuthorizationDetails,
	}, nil
}

// approvalRule finds the rule that lets a client put operations to the user.
func (s *Service) approvalRule(caller store.Client, req ExchangeRequest) (ExchangeRule, error) {
	for _, rule := range s.ExchangePolicy() {
		if rule.Client != caller.ID || len(rule.Approved) == 0 {
			continue
		}
		if !slices.Contains([]string{oauth.TokenTypeAccessToken, oauth.TokenTypeJWT}, req.SubjectTokenType) {
			return rule, oauth.InvalidRequest("subject_token_type must be " + oauth.TokenTypeAccessToken)
		}
		return rule, nil
	}
	return ExchangeRule{}, oauth.UnauthorizedClient("this client may not ask for approvals")
}

// hasAny reports whether a scope has one of some values.
func hasAny(scope string, values []string) bool {
	return len(intersect(strings.Fields(scope), values)) > 0
}

// exchangeRule finds the rule that a request falls under.
func (s *Service) exchangeRule(caller store.Client, req ExchangeRequest) (ExchangeRule, error) {
	var targets []string
	for _, rule := range s.ExchangePolicy() {
		if rule.Client == caller.ID {
			targets = append(targets, rule.To)
		}
	}
	accepted := []string{oauth.TokenTypeAccessToken, oauth.TokenTypeJWT}
	switch {
	case len(targets) == 0:
		return ExchangeRule{}, oauth.UnauthorizedClient("this client may not exchange tokens")
	case req.HasActorToken:
		return ExchangeRule{}, oauth.InvalidRequest("actor_token is not accepted: the authenticated client is the actor")
	case !slices.Contains(accepted, req.SubjectTokenType):
		return ExchangeRule{}, oauth.InvalidRequest("subject_token_type must be " + oauth.TokenTypeAccessToken)
	case req.RequestedTokenType != "" && !slices.Contains(accepted, req.RequestedTokenType):
		return ExchangeRule{}, oauth.InvalidRequest("requested_token_type must be " + oauth.TokenTypeAccessToken)
	case len(req.Targets) != 1:
		return ExchangeRule{}, oauth.InvalidTarget("name one resource: " + strings.Join(targets, " or "))
	}
	to := s.Site.CanonicalResource(req.Targets[0])
	for _, rule := range s.ExchangePolicy() {
		if rule.Client == caller.ID && rule.To == to {
			return rule, nil
		}
	}
	return ExchangeRule{}, oauth.InvalidTarget("this client may ask for " + strings.Join(targets, " or "))
}

// originSeparator stands in the jti of an exchanged token, between the id of
// the token that the user's client holds, and what makes it unique. So every
// token of a chain is known to end with the first.
const originSeparator = "."

// subject checks the token to exchange: an access token, issued here, for the
// audience that the rule starts from, and of a grant that still stands. It may
// be opaque, as the client holds it, or the JWT behind it, as the next hop
// does. The scope in the claims is what it still is good for. ErrNotFound says
// that it is not good.
func (s *Service) subject(ctx context.Context, rule ExchangeRule, req ExchangeRequest) (token.Claims, store.LiveToken, error) {
	if !strings.Contains(req.SubjectToken, ".") && req.SubjectTokenType == oauth.TokenTypeAccessToken {
		return s.opaqueSubject(ctx, rule, req.SubjectToken)
	}
	return s.jwtSubject(ctx, rule, req.SubjectToken)
}

func (s *Service) opaqueSubject(ctx context.Context, rule ExchangeRule, secret string) (token.Claims, store.LiveToken, error) {
	t, err := s.Store.Token(ctx, store.HashOf(secret))
	if t, err = s.live(ctx, t, err); err != nil {
		return token.Claims{}, t, fmt.Errorf("find subject token: %w", err)
	}
	if t.Kind != store.AccessToken || t.Grant.Resource != rule.From || t.JKT != "" { // nobody proved its key here
		return token.Claims{}, t, store.ErrNotFound
	}
	return s.claims(t), t, nil
}

func (s *Service) jwtSubject(ctx context.Context, rule ExchangeRule, raw string) (token.Claims, store.LiveToken, error) {
	claims, err := s.readSubject(rule, raw)
	if err != nil {
		return claims, store.LiveToken{}, store.ErrNotFound
	}
	origin, _, _ := strings.Cut(claims.ID, originSeparator)
	t, err := s.Store.TokenByID(ctx, origin)
	if t, err = s.live(ctx, t, err); err != nil {
		return claims, t, fmt.Errorf("find subject token: %w", err)
	}
	// The JWT says what was granted when it was signed. What was taken away
	// since is not to be had by it.
	claims.Scope = strings.Join(intersect(strings.Fields(claims.Scope), strings.Fields(t.Scope)), " ")
	return claims, t, nil
}

// readSubject returns the claims of an access token that this server signed.
func (s *Service) readSubject(rule ExchangeRule, raw string) (token.Claims, error) {
	options := []jwt.ParserOption{
		jwt.WithIssuer(s.Site.Issuer()), jwt.WithAudience(rule.From),
		jwt.WithExpirationRequired(), jwt.WithStrictDecoding(), jwt.WithTimeFunc(s.Now),
	}
	var claims token.Claims
	parsed, parts, err := jwt.NewParser(options...).ParseUnverified(raw, &claims)
	if err != nil {
		return claims, err
	}
	if !s.isPhantom(claims, raw) {
		if err := s.verify(parsed, parts); err != nil {
			return claims, err
		}
	}
	return claims, jwt.NewValidator(options...).Validate(claims)
}

// verify checks that a JWT, which was parsed, is an access token and was signed
// here. (The library does both in one call, or neither.)
func (s *Service) verify(t *jwt.Token, parts []string) error {
	if t.Method != jwt.SigningMethodES256 || t.Header["typ"] != token.Type {
		return errors.New("not an access token")
	}
	key, err := s.Keys.Key(t)
	if err != nil {
		return err
	}
	return t.Method.Verify(parts[0]+"."+parts[1], t.Signature, key)
}
