package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// nonceWindow is how long a nonce is the current one. It is accepted for as
// long again, so a client that calls every two minutes never has to ask twice.
// Whoever gets at a client's key for a moment can make proofs in advance for
// no longer than that (RFC 9449 §11.2).
const nonceWindow = 2 * time.Minute

// nonces are derived from the time, not stored: replicas that share the key
// agree, and a restart forgets nothing. Everybody gets the same nonce; what
// counts is that nobody knows it in advance.
type nonces struct{ key []byte }

// at returns the nonce that is current at a time.
func (n nonces) at(t time.Time) string { return n.of(t.Unix() / int64(nonceWindow.Seconds())) }

func (n nonces) of(window int64) string {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(window)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// accepts reports whether a nonce is the current one or the one before.
func (n nonces) accepts(nonce string, now time.Time) bool {
	return same(nonce, n.at(now)) || same(nonce, n.at(now.Add(-nonceWindow)))
}
