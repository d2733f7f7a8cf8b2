package grants

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// What a client is told when it allows no page, or means another user
// (OpenID Connect Core §3.1.2.6).
var (
	LoginRequired   = &oauth.Error{Code: "login_required", Description: "the user has to sign in; ask without prompt=none and without an id_token_hint of somebody else"}
	ConsentRequired = &oauth.Error{Code: "consent_required", Description: "the user has to be asked; ask without prompt=none"}
)

// idTokenType is the typ of ID tokens. It is not the one of access tokens, so
// neither passes for the other.
const idTokenType = "JWT"

// maxHint bounds the work that a hostile hint can cause, in bytes.
const maxHint = 8 << 10

// Hint is what an id_token_hint says.
type Hint struct{ UserID, ClientID string }

// ReadHint reads an ID token that this server issued once. It may have expired
// since: it only says whom the client means, and lets nobody in. The error is
// keys.ErrUnknown for one whose key is gone, or never was.
func (s *Service) ReadHint(raw string) (Hint, error) {
	if len(raw) > maxHint {
		return Hint{}, errors.New("too long")
	}
	var claims idTokenClaims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(raw, &claims, func(t *jwt.Token) (any, error) {
		if t.Header["typ"] != idTokenType {
			return nil, errors.New("not an ID token")
		}
		return s.Keys.Key(t)
	})
	if err != nil {
		return Hint{}, err
	}
	if claims.Issuer != s.Site.Issuer() || len(claims.Audience) != 1 || claims.Subject == "" {
		return Hint{}, errors.New("not an ID token of this server")
	}
	return Hint{UserID: claims.Subject, ClientID: claims.Audience[0]}, nil
}

// readHint returns the user whom a client means, or "" when it means anybody.
//
// ID tokens outlive the keys that they were signed with, in which the client
// did nothing wrong: one of a key that is gone is like none. Without prompt=none
// the pages show the person who they are; with it the client hopes for an answer
// about one user, and which one that is nobody can tell any more.
func (s *Service) readHint(client store.Client, params url.Values) (userID string, _ *oauth.Error) {
	if !params.Has("id_token_hint") {
		return "", nil
	}
	hint, err := s.ReadHint(params.Get("id_token_hint"))
	if errors.Is(err, keys.ErrUnknown) {
		if slices.Contains(strings.Fields(params.Get("prompt")), "none") {
			return "", LoginRequired
		}
		return "", nil
	}
	if err != nil || hint.ClientID != client.ID {
		return "", oauth.InvalidRequest("id_token_hint is not an ID token that this server issued to this client; ask without it")
	}
	return hint.UserID, nil
}

// IsHinted reports whether a user is the one whom the client means.
func IsHinted(r store.Request, userID string) bool {
	return r.HintedUser == "" || r.HintedUser == userID
}
