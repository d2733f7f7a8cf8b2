package grants

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// What an authorization request may say, whoever brings it: a browser, or the
// client itself (par.go).

// maxParam bounds what is kept of state and nonce, in bytes.
const maxParam = 2048

// Prompts are the values of prompt that are served (OpenID Connect Core
// §3.1.2.1).
var Prompts = []string{"none", "login", "consent", "select_account"}

// readRequest checks everything but the client and the redirect URI.
func (s *Service) readRequest(client store.Client, params url.Values) (store.Request, *oauth.Error) {
	none := store.Request{}
	if err := checkParameters(client, params); err != nil {
		return none, err
	}
	resource, oauthErr := s.readResource(client, params["resource"], params.Get("scope"))
	if oauthErr != nil {
		return none, oauthErr
	}
	scope, oauthErr := s.readScope(client, resource, params.Get("scope"))
	if oauthErr != nil {
		return none, oauthErr
	}
	prompt, oauthErr := readPrompt(params.Get("prompt"))
	if oauthErr != nil {
		return none, oauthErr
	}
	hinted, oauthErr := s.readHint(client, params)
	if oauthErr != nil {
		return none, oauthErr
	}
	maxAge, oauthErr := readMaxAge(params.Get("max_age"))
	if oauthErr != nil {
		return none, oauthErr
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

// checkParameters refuses what is not offered, and what is not of its form.
func checkParameters(client store.Client, params url.Values) *oauth.Error {
	switch {
	case params.Has("request"):
		return &oauth.Error{Code: "request_not_supported", Description: "send the parameters themselves"}
	case params.Has("request_uri"):
		return &oauth.Error{Code: "request_uri_not_supported", Description: "send the parameters themselves"}
	case params.Get("response_type") != "code":
		return &oauth.Error{Code: "unsupported_response_type", Description: "only response_type=code is offered"}
	case params.Has("response_mode") && params.Get("response_mode") != "query":
		return oauth.InvalidRequest("only response_mode=query is offered")
	case !clients.AllowsGrant(client, "authorization_code"):
		return oauth.UnauthorizedClient("this client is not registered for authorization_code")
	case len(params.Get("state")) > maxParam || len(params.Get("nonce")) > maxParam:
		return oauth.InvalidRequest(fmt.Sprintf("state and nonce may have %d bytes each", maxParam))
	case !utf8.ValidString(params.Get("state") + params.Get("nonce")):
		return oauth.InvalidRequest("state and nonce must be text; it could not be given back as it was sent")
	case !challengeForm.MatchString(params.Get("code_challenge")):
		return oauth.InvalidRequest("PKCE is required: send a code_challenge of 43 characters (RFC 7636)")
	case params.Get("code_challenge_method") != "S256":
		return oauth.InvalidRequest("PKCE is required with code_challenge_method=S256")
	case params.Has("dpop_jkt") && !thumbprintForm.MatchString(params.Get("dpop_jkt")):
		return oauth.InvalidRequest("dpop_jkt must be the SHA-256 thumbprint of a key, 43 characters (RFC 7638)")
	}
	return nil
}

func readPrompt(sent string) ([]string, *oauth.Error) {
	prompt := strings.Fields(sent)
	for _, p := range prompt {
		if !slices.Contains(Prompts, p) || p == "none" && len(prompt) > 1 {
			return nil, oauth.InvalidRequest("prompt may hold login, consent and select_account, or none alone")
		}
	}
	return prompt, nil
}

// readMaxAge returns how old a sign-in may be; below zero it may be of any age.
func readMaxAge(sent string) (time.Duration, *oauth.Error) {
	if sent == "" {
		return -1, nil
	}
	seconds, err := strconv.ParseUint(sent, 10, 31)
	if err != nil {
		return 0, oauth.InvalidRequest("max_age must be a number of seconds")
	}
	return time.Duration(seconds) * time.Second, nil
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
