package clients

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// Registration is the metadata that a client sends to register itself (RFC
// 7591 §2). Everything else that it sends is ignored, as the RFC wants it.
// Nothing that it says can raise the client's trust, only a key that it then
// has to prove.
type Registration struct {
	RedirectURIs  []string `json:"redirect_uris"`
	LogoutURIs    []string `json:"post_logout_redirect_uris"`
	AuthMethod    string   `json:"token_endpoint_auth_method"`
	GrantTypes    []string `json:"grant_types"`
	ResponseTypes []string `json:"response_types"`
	Name          string   `json:"client_name"`
	URI           string   `json:"client_uri"`
	Scope         string   `json:"scope"`
	BoundTokens   bool     `json:"dpop_bound_access_tokens"` // RFC 9449 §5.2

	// For private_key_jwt.
	SigningAlg string          `json:"token_endpoint_auth_signing_alg"`
	JWKS       json.RawMessage `json:"jwks"`
	JWKSURI    string          `json:"jwks_uri"`
}

// Limits on what is kept of a stranger's words.
const (
	maxRedirects = 10
	maxName      = 100 // characters
)

// Grant types that a client may register for. A device's token requests come
// before any user approved it, and nothing is fetched at the token endpoint:
// so a client that is only described by a document cannot be one.
var (
	offered            = []string{"authorization_code", "refresh_token", oauth.GrantDeviceCode}
	offeredToDocuments = []string{"authorization_code", "refresh_token"}
)

// describe returns the client that metadata describes, with its secret, which
// is empty for a public client and is not stored. Errors that the client can
// mend are oauth errors (RFC 7591 §3.2.2).
func (r *Registry) describe(reg Registration) (store.Client, string, error) {
	none := func(err error) (store.Client, string, error) { return store.Client{}, "", err }
	// Nobody is sent to a client that only asks by device (RFC 7591 §2).
	redirected := len(reg.GrantTypes) == 0 || slices.Contains(reg.GrantTypes, "authorization_code") || len(reg.RedirectURIs) > 0
	if err := checkRedirects(reg.RedirectURIs); redirected && err != nil {
		return none(&oauth.Error{Code: "invalid_redirect_uri", Description: err.Error(), Status: http.StatusBadRequest})
	}
	if err := checkLogoutURIs(reg.LogoutURIs); err != nil {
		return none(invalidMetadata(err.Error()))
	}
	if reg.AuthMethod == "" {
		reg.AuthMethod = AuthBasic // the default that RFC 7591 §2 sets
	}
	if !slices.Contains(AuthMethods, reg.AuthMethod) {
		return none(invalidMetadata("token_endpoint_auth_method: use one of " + strings.Join(AuthMethods, ", ")))
	}
	if len(reg.GrantTypes) == 0 {
		reg.GrantTypes = []string{"authorization_code"}
	}
	grants := known(reg.GrantTypes, offered)
	if !slices.Contains(grants, "authorization_code") && !slices.Contains(grants, oauth.GrantDeviceCode) {
		return none(invalidMetadata("grant_types: authorization_code or " + oauth.GrantDeviceCode + " is needed; refresh_token may go with it"))
	}
	if len(reg.ResponseTypes) > 0 && !slices.Contains(reg.ResponseTypes, "code") {
		return none(invalidMetadata("response_types: only code is offered"))
	}
	if len([]rune(reg.Name)) > maxName {
		return none(invalidMetadata(fmt.Sprintf("client_name: at most %d characters", maxName)))
	}
	if reg.URI != "" && (!strings.HasPrefix(reg.URI, "https://") || CheckRedirect(reg.URI) != nil) {
		return none(invalidMetadata("client_uri: use an https URL"))
	}
	scope := strings.Join(known(strings.Fields(reg.Scope), strings.Fields(r.Policy.Scope)), " ")
	if scope == "" {
		scope = r.Policy.Scope // asked for nothing, or for nothing that there is
	}
	c := store.Client{
		ID:           "dcr-" + strings.ToLower(rand.Text()),
		Registration: store.RegisteredDynamically,
		Name:         reg.Name,
		URI:          reg.URI,
		RedirectURIs: reg.RedirectURIs,
		LogoutURIs:   reg.LogoutURIs,
		GrantTypes:   grants,
		AuthMethod:   reg.AuthMethod,
		Scope:        scope,
		Resources:    []string{r.Policy.Resource},
		Type:         TypeMCP,
		Assurance:    AssuranceNone,
		BoundTokens:  reg.BoundTokens,
		CreatedAt:    r.Now(),
	}
	if err := registerKeys(&c, reg.JWKS, reg.JWKSURI, reg.SigningAlg); err != nil {
		return none(invalidMetadata(err.Error()))
	}
	var secret string
	switch c.AuthMethod {
	case AuthPrivateKey:
		c.Assurance = AssuranceKey // it proves the key whenever it asks for a token
	case AuthBasic, AuthPost:
		secret = rand.Text() + rand.Text() // 256 bits
		c.SecretHash = store.HashOf(secret)
	}
	return c, secret, nil
}

func invalidMetadata(description string) error {
	return &oauth.Error{Code: "invalid_client_metadata", Description: description, Status: http.StatusBadRequest}
}

func checkRedirects(uris []string) error {
	if len(uris) == 0 || len(uris) > maxRedirects {
		return fmt.Errorf("send 1 to %d redirect_uris", maxRedirects)
	}
	for _, uri := range uris {
		if err := CheckRedirect(uri); err != nil {
			return err
		}
	}
	return nil
}

// known returns those of values that are among all, in the order of all.
func known(values, all []string) []string {
	out := []string{}
	for _, v := range all {
		if slices.Contains(values, v) {
			out = append(out, v)
		}
	}
	return out
}

// ParseRegistration reads a registration request's body.
func ParseRegistration(body []byte) (Registration, error) {
	var reg Registration
	if err := json.Unmarshal(body, &reg); err != nil {
		return reg, invalidMetadata("the body is not a JSON object of client metadata (RFC 7591 §2)")
	}
	return reg, nil
}
