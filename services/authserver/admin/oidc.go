package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"demo.example/services/authserver/clients"
	"demo.example/services/internal/config"
	"demo.example/services/internal/oauth"
)

// signInAge is how old a sign-in at the authorization server may be when the
// administration begins (max_age, OpenID Connect Core §3.1.2.1), and pageTime
// what the pages after it may take.
const (
	signInAge = 15 * time.Minute
	pageTime  = 15 * time.Minute
)

// relyingParty is the administration as a client of the authorization server.
// zitadel/oidc reads the server's metadata, redeems the code and checks the ID
// token; what belongs to one browser is in signin.go.
type relyingParty struct {
	issuer, redirect string
	secret           config.Secret
	back             *http.Client

	mu    sync.Mutex
	party rp.RelyingParty // nil until the metadata was read
}

// nonceKey is where the nonce is kept that an ID token must have.
type nonceKey struct{}

// discover returns the client once it has read the server's metadata. This is
// not done when the process starts, since the public name leads through the
// gateway, which may come up later: whoever signs in before is asked to try
// again.
func (p *relyingParty) discover(ctx context.Context) (rp.RelyingParty, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.party != nil {
		return p.party, nil
	}
	party, err := rp.NewRelyingPartyOIDC(ctx, p.issuer, clients.Administration, string(p.secret), p.redirect, []string{oauth.ScopeOpenID},
		rp.WithHTTPClient(p.back),
		rp.WithAuthStyle(oauth2.AuthStyleInHeader),
		rp.WithVerifierOpts(
			rp.WithSupportedSigningAlgorithms("ES256"),
			rp.WithIssuedAtOffset(5*time.Second),
			rp.WithIssuedAtMaxAge(time.Minute),
			rp.WithAuthTimeMaxAge(signInAge+pageTime),
			rp.WithNonce(func(ctx context.Context) string { nonce, _ := ctx.Value(nonceKey{}).(string); return nonce }),
		))
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", p.issuer, err)
	}
	p.party = party
	return party, nil
}

// address is where a browser begins to sign in.
func (p *relyingParty) address(ctx context.Context, state, nonce, verifier string) (string, error) {
	party, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return rp.AuthURL(state, party,
		rp.WithCodeChallenge(oidc.NewSHACodeChallenge(verifier)),
		rp.AuthURLOpt(rp.WithURLParam("nonce", nonce)),
		rp.AuthURLOpt(rp.WithURLParam("max_age", fmt.Sprint(int(signInAge.Seconds())))),
	), nil
}

// redeem trades a code for who signed in, and when. The access token that comes
// with it is not needed, and given back.
func (p *relyingParty) redeem(ctx context.Context, code, nonce, verifier string) (sub string, authTime time.Time, err error) {
	party, err := p.discover(ctx)
	if err != nil {
		return "", authTime, err
	}
	ctx = context.WithValue(ctx, nonceKey{}, nonce)
	tokens, err := rp.CodeExchange[*oidc.IDTokenClaims](ctx, code, party, rp.WithCodeVerifier(verifier))
	if err != nil {
		return "", authTime, fmt.Errorf("redeem code: %w", err)
	}
	if err := p.giveBack(ctx, party.GetRevokeEndpoint(), tokens.AccessToken); err != nil {
		return "", authTime, fmt.Errorf("give the access token back: %w", err)
	}
	return tokens.IDTokenClaims.GetSubject(), tokens.IDTokenClaims.GetAuthTime(), nil
}

// giveBack revokes a token (RFC 7009 §2.1). The library's own function sends
// empty client credentials in the form beside those in the header, which is one
// method too many (RFC 6749 §2.3).
func (p *relyingParty) giveBack(ctx context.Context, endpoint, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(clients.Administration, url.QueryEscape(string(p.secret)))
	resp, err := p.back.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
