package dpop

import (
	"errors"
	"net/http"
	"strings"

	"demo.example/services/internal/oauth"
)

// ErrScheme is a token that is presented as what it is not. Answer as to one
// that is unknown.
var ErrScheme = errors.New("bound to a key and presented as Bearer, or the other way round")

// CheckToken lets an access token pass at a protected resource when it is
// presented as what it is (RFC 9449 §7.1 and §7.2): a bearer token as Bearer,
// one that is bound to a key as DPoP, with a proof of that key for this
// request. The url is the public one, boundTo the thumbprint or empty. It puts
// the next nonce into answer. The error is ErrScheme, or as of Check.
func (c *Checker) CheckToken(answer http.Header, r *http.Request, url, token, boundTo string) error {
	if err := CheckScheme(r, boundTo); err != nil || boundTo == "" {
		return err
	}
	answer.Set(NonceHeader, c.Nonce())
	_, err := c.Check(r.Header, Request{Method: r.Method, URL: url, AccessToken: token, Key: boundTo})
	return err
}

// CheckScheme is the part of CheckToken that takes no proof. The error is
// ErrScheme.
func CheckScheme(r *http.Request, boundTo string) error {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, Scheme) != (boundTo != "") {
		return ErrScheme
	}
	return nil
}

// Challenges returns a challenge for bearer tokens and the one for bound ones
// that goes beside it, after it: some clients read the first word alone. What
// is wrong with a token is said in both, always in the same words, so that
// trying a stolen one as Bearer tells nobody that it is good and bound. What
// is wrong with a proof only concerns those who sent one.
func Challenges(c oauth.Challenge) (bearer, proof oauth.Challenge) {
	bearer, proof = c, c
	proof.Scheme, proof.Algs = Scheme, strings.Join(Algorithms, " ")
	if c.Error == InvalidProof || c.Error == UseNonce {
		bearer.Error, bearer.Description = "", ""
	}
	return bearer, proof
}
