package gateway

import (
	"crypto/hkdf"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"demo.example/services/internal/config"
	"demo.example/services/internal/dpop"
	"demo.example/services/internal/oauth"
)

// newProofs returns the judge of DPoP proofs. The nonces come of the gateway's
// own client secret, the one thing that its replicas share and nobody else has.
func newProofs(secret config.Secret) *dpop.Checker {
	// Key fails for lengths above 8 kB alone.
	key, _ := hkdf.Key(sha256.New, []byte(secret), nil, "DPoP nonces", sha256.Size)
	return dpop.NewChecker(key, time.Now)
}

// checkProof lets a token pass that is presented as what it is (RFC 9449
// §7.1 and §7.2): a bearer token as Bearer, one that is bound to a key as DPoP
// with a proof of that key for this request. The proof is judged each time,
// whether or not the token is in the cache. The error is a refusal, an
// *oauth.Error for the client, or an outage.
func (p *phantomTokens) checkProof(w http.ResponseWriter, r *http.Request, token string, found phantom) error {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch asBound := strings.EqualFold(scheme, dpop.Scheme); {
	case !asBound && found.Key == "":
		return nil
	case !asBound:
		return refusal("bound to a key, presented as Bearer")
	case found.Key == "":
		return refusal("not bound to a key, presented as DPoP")
	}
	w.Header().Set(dpop.NonceHeader, p.Proofs.Nonce())
	_, err := p.Proofs.Check(r.Header, dpop.Request{
		Method: r.Method, URL: p.Origin + r.URL.EscapedPath(), AccessToken: token, Key: found.Key,
	})
	return err
}

// besideProof returns a challenge and the one for DPoP that goes beside it.
// What is wrong with a token is said in both, and always in the same words:
// trying a stolen one as Bearer tells nobody that it is good and bound. What
// is wrong with a proof only concerns those who sent one.
func besideProof(c oauth.Challenge) (bearer, proof oauth.Challenge) {
	bearer, proof = c, c
	proof.Scheme, proof.Algs = dpop.Scheme, strings.Join(dpop.Algorithms, " ")
	if c.Error == dpop.InvalidProof || c.Error == dpop.UseNonce {
		bearer.Error, bearer.Description = "", ""
	}
	return bearer, proof
}
