// Package keys holds the keys that sign tokens. They are kept in the store,
// sealed with a key-encryption key that is not in it: a copy of the database
// signs nothing. How one key follows another is in rotate.go.
package keys

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/config"
)

// keyStore is what the ring needs of the store.
type keyStore interface {
	AddKey(ctx context.Context, k store.Key) error
	Keys(ctx context.Context) ([]store.Key, error)
	DeleteKey(ctx context.Context, id string) error
}

// Config is what a ring is made of.
type Config struct {
	Store         keyStore
	Secret        config.Secret // the key-encryption key
	Lifetime      time.Duration // how long a key signs before the next one is made
	TokenLifetime time.Duration // of the tokens that live longest
	Now           func() time.Time
}

// Ring signs tokens and publishes the public keys.
type Ring struct {
	cfg     Config
	box     cipher.AEAD
	current atomic.Pointer[keySet]
}

// keySet is what a ring knew of the store when it last looked. It is never
// changed.
type keySet struct {
	keys []*key // oldest first
	jwks []byte
}

type key struct {
	id      string
	private *ecdsa.PrivateKey
	created time.Time
}

// Load opens the stored keys with the key-encryption key, and creates the
// first one when there is none.
func Load(ctx context.Context, cfg Config) (*Ring, error) {
	box, err := newBox(cfg.Secret)
	if err != nil {
		return nil, err
	}
	r := &Ring{cfg: cfg, box: box}
	r.current.Store(&keySet{})
	if err := r.reload(ctx); err != nil {
		return nil, err
	}
	if len(r.current.Load().keys) == 0 {
		if _, err := r.Rotate(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// reload learns what the store holds by now. A key that is known is not
// opened again.
func (r *Ring) reload(ctx context.Context) error {
	stored, err := r.cfg.Store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	if len(stored) == 0 && len(r.current.Load().keys) > 0 {
		return errors.New("signing keys: the store has lost them all")
	}
	known := map[string]*key{}
	for _, k := range r.current.Load().keys {
		known[k.id] = k
	}
	next := &keySet{}
	for _, sk := range stored {
		k := known[sk.ID]
		if k == nil {
			if k, err = r.open(sk); err != nil {
				return fmt.Errorf("signing key %s: %w", sk.ID, err)
			}
		}
		next.keys = append(next.keys, k)
	}
	if next.jwks, err = next.marshal(); err != nil {
		return err
	}
	r.current.Store(next)
	return nil
}

func (r *Ring) open(sk store.Key) (*key, error) {
	der, err := open(r.box, sk)
	if err != nil {
		return nil, fmt.Errorf("%w; SECRETS_DIR holds another key-encryption-key than the one it was stored with", err)
	}
	private, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, err
	}
	return &key{sk.ID, private, sk.CreatedAt}, nil
}

// newBox returns the cipher that seals keys. The key-encryption key is
// stretched to its purpose, since other keys are derived from it as well.
func newBox(kek config.Secret) (cipher.AEAD, error) {
	k, err := Derive(kek, "signing keys")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Derive returns a 32-byte key for one purpose (RFC 5869).
func Derive(kek config.Secret, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(kek), nil, purpose, 32)
}

func create(box cipher.AEAD, now time.Time) (store.Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return store.Key{}, err
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return store.Key{}, err
	}
	public, err := toJWK(&private.PublicKey)
	if err != nil {
		return store.Key{}, err
	}
	nonce := make([]byte, box.NonceSize())
	rand.Read(nonce)
	id := public.thumbprint()
	// The id is bound to the sealed key: the two cannot be swapped around.
	return store.Key{ID: id, Private: box.Seal(nonce, nonce, der, []byte(id)), CreatedAt: now}, nil
}

func open(box cipher.AEAD, k store.Key) ([]byte, error) {
	if len(k.Private) < box.NonceSize() {
		return nil, errors.New("is cut off")
	}
	nonce, sealed := k.Private[:box.NonceSize()], k.Private[box.NonceSize():]
	return box.Open(nil, nonce, sealed, []byte(k.ID))
}

// A JWT here has one audience, written as one string (RFC 7519 §4.1.3). The
// library decides that for the whole program.
func init() { jwt.MarshalSingleStringAsArray = false }

// Sign returns a signed JWT of a media type, such as "at+jwt".
func (r *Ring) Sign(typ string, claims jwt.Claims) (string, error) {
	k := r.current.Load().signing(r.cfg.Now())
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["typ"] = typ
	t.Header["kid"] = k.id
	return t.SignedString(k.private)
}

// ErrUnknown says that a JWT names a key that is not there: it was rotated away
// or never was.
var ErrUnknown = errors.New("no such key")

// Key returns the public key that a JWT's header names, for checking what
// this server signed itself, or ErrUnknown.
func (r *Ring) Key(t *jwt.Token) (any, error) {
	for _, k := range r.current.Load().keys {
		if t.Header["kid"] == k.id {
			return &k.private.PublicKey, nil
		}
	}
	return nil, ErrUnknown
}

// JWKS returns the public keys as a JSON Web Key Set (RFC 7517 §5).
func (r *Ring) JWKS() []byte { return r.current.Load().jwks }

func (s *keySet) marshal() ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{}
	for _, k := range s.keys {
		public, err := toJWK(&k.private.PublicKey)
		if err != nil {
			return nil, err
		}
		public.ID, public.Use, public.Alg = k.id, "sig", "ES256"
		set.Keys = append(set.Keys, public)
	}
	return json.Marshal(set)
}

// jwk is an elliptic curve key (RFC 7518 §6.2.1).
type jwk struct {
	Curve string `json:"crv"`
	Type  string `json:"kty"`
	X     string `json:"x"`
	Y     string `json:"y"`
	ID    string `json:"kid,omitempty"`
	Use   string `json:"use,omitempty"`
	Alg   string `json:"alg,omitempty"`
}

func toJWK(public *ecdsa.PublicKey) (jwk, error) {
	point, err := public.Bytes() // 0x04, x, y (SEC 1 §2.3.3)
	if err != nil {
		return jwk{}, err
	}
	half := (len(point) - 1) / 2
	b64 := base64.RawURLEncoding
	return jwk{Curve: "P-256", Type: "EC", X: b64.EncodeToString(point[1 : 1+half]), Y: b64.EncodeToString(point[1+half:])}, nil
}

// thumbprint is the key's id: the hash of its required members, in order
// (RFC 7638 §3).
func (k jwk) thumbprint() string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, k.Curve, k.Type, k.X, k.Y))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
