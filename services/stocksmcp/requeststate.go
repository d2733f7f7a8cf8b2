package stocksmcp

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"demo.example/services/internal/config"
	"demo.example/services/internal/token"
)

// waitingOrder is an order that waits for the user's decision, as this server
// gives it to the client to bring back: it keeps nothing itself (MCP,
// multi-round-trip requests). It is no secret, and signed so that the client
// cannot change it.
type waitingOrder struct {
	Approval string                    `json:"approval"` // id at the authorization server
	Order    token.AuthorizationDetail `json:"order"`
	Subject  string                    `json:"sub"`
	ClientID string                    `json:"client_id"`
	GrantID  string                    `json:"grant_id"`
	Expires  int64                     `json:"exp"` // seconds since 1970
}

// What is wrong with a request state.
const (
	stateForged  explanation = "The request state is not one of this server, or was changed. Call place-order again without it."
	stateForeign explanation = "The request state belongs to another order or another sign-in. Call place-order again without it."
	stateExpired explanation = "The approval has expired. Call place-order again; the user is then asked again."
)

// check reports why w is not for a call with these claims, or nil.
func (w waitingOrder) check(claims *token.Claims, in orderArguments, now time.Time) error {
	switch {
	case w.Subject != claims.Subject || w.ClientID != claims.ClientID || w.GrantID != claims.GrantID,
		w.Order.Symbol != strings.ToUpper(in.Symbol) || w.Order.Side != in.Side ||
			w.Order.Quantity != in.Quantity || w.Order.LimitPrice != in.LimitPrice:
		return stateForeign
	case now.Unix() >= w.Expires:
		return stateExpired
	}
	return nil
}

// stateSigner signs request states, so that every replica with the same
// client secret takes them.
type stateSigner struct{ key []byte }

// newStateSigner derives the key from the client secret (RFC 5869), so that
// neither can be told from the other's use.
func newStateSigner(secret config.Secret) stateSigner {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "stocksmcp request state, version 1", sha256.Size)
	if err != nil {
		panic(err) // the length is a constant that HKDF can give
	}
	return stateSigner{key}
}

// seal writes an order with its signature.
func (s stateSigner) seal(w waitingOrder) (string, error) {
	payload, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(s.sum(payload)), nil
}

// open returns what seal wrote, and refuses everything else.
func (s stateSigner) open(state string) (waitingOrder, error) {
	var w waitingOrder
	text, signature, _ := strings.Cut(state, ".")
	strict := base64.RawURLEncoding.Strict()
	payload, err := strict.DecodeString(text)
	if err != nil || strings.ContainsAny(state, "\r\n") { // which the decoder passes over
		return w, stateForged
	}
	sum, err := strict.DecodeString(signature)
	if err != nil || !hmac.Equal(sum, s.sum(payload)) || json.Unmarshal(payload, &w) != nil {
		return waitingOrder{}, stateForged
	}
	return w, nil
}

func (s stateSigner) sum(payload []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(payload)
	return mac.Sum(nil)
}
