package gateway

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"demo.example/services/internal/config"
	"demo.example/services/internal/dpop"
)

// newProofs returns the judge of DPoP proofs. The nonces come of the gateway's
// own client secret, the one thing that its replicas share and nobody else has.
func newProofs(secret config.Secret) *dpop.Checker {
	// Key fails for lengths above 8 kB alone.
	key, _ := hkdf.Key(sha256.New, []byte(secret), nil, "DPoP nonces", sha256.Size)
	return dpop.NewChecker(key, time.Now)
}

// checkProof lets a request pass whose token is presented as what it is. A
// proof is judged each time, whether or not the token is in the cache. The
// error is a refusal, an *oauth.Error for the client, or an outage.
func (p *phantomTokens) checkProof(w http.ResponseWriter, r *http.Request, token string, found phantom) error {
	err := p.Proofs.CheckToken(w.Header(), r, p.Origin+r.URL.EscapedPath(), token, found.Key)
	if errors.Is(err, dpop.ErrScheme) {
		return refusal(err.Error())
	}
	return err
}
