package gateway

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"net/http"
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

// admit counts a request with a good token, and lets it pass when the token is
// presented as what it is. A proof is judged each time, whether or not the token
// is in the cache. The error is an overQuota, a refusal, an *oauth.Error for the
// client, or an outage.
//
// The request is counted before its proof is judged, so that above the quota
// nobody has signatures checked and proofs remembered. Whoever fails may be a
// thief without the key, and must not use up what the owner has: that is given
// back, and the failure counts for the network instead. So a thief can have
// signatures checked; to refuse before would be to lock out an owner who comes
// from the same network. To be told of a nonce takes the key, so it counts for
// the owner, as does an outage.
func (p *phantomTokens) admit(w http.ResponseWriter, r *http.Request, token string, found phantom) error {
	if err := dpop.CheckScheme(r, found.Key); err != nil { // first: what is left of a quota is only the owner's to know
		return p.failed(r, refusal(err.Error()))
	}
	b := p.Quotas.takeToken(found)
	if b.wait > 0 {
		return overQuota{b}
	}
	err := p.Proofs.CheckToken(w.Header(), r, p.Origin+r.URL.EscapedPath(), token, found.Key)
	if bad, ok := errors.AsType[*oauth.Error](err); ok && bad.Code == dpop.InvalidProof {
		p.Quotas.giveBackToken(found)
		return p.failed(r, err)
	}
	b.announce(w.Header())
	return err
}

// failed counts for the network that its token or proof is refused, if there
// is room for that.
func (p *phantomTokens) failed(r *http.Request, err error) error {
	if b := p.Quotas.Strangers.take(network(r)); b.wait > 0 {
		return overQuota{b}
	}
	return err
}
