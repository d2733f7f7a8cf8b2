package clients

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// How long a registration is kept that nobody uses: one that no user ever
// approved, and one after its last grant has ended.
const (
	unusedLifetime = 24 * time.Hour
	idleLifetime   = 90 * 24 * time.Hour
)

// Registered is a client with what only it is told.
type Registered struct {
	Client store.Client
	Secret string // empty for none, and where the client has it already
	Token  string // registration access token (RFC 7592 §1.3)
}

// Register stores a new client (RFC 7591 §3). Errors that the client can mend
// are oauth errors.
func (r *Registry) Register(ctx context.Context, reg Registration) (Registered, error) {
	c, secret, err := r.describe(reg)
	if err != nil {
		return Registered{}, err
	}
	raw := make([]byte, 32)
	rand.Read(raw)
	token := base64.RawURLEncoding.EncodeToString(raw)
	if err := r.Store.AddRegistration(ctx, c, store.HashOf(token), r.Now().Add(unusedLifetime), r.MaxUnused); err != nil {
		return Registered{}, fmt.Errorf("register client: %w", err)
	}
	return Registered{c, secret, token}, nil
}

// Registered returns the client that a registration access token is for, or
// ErrUnknown: an unknown client and a wrong token look alike. Whoever has the
// right token is told ErrSuspended of a suspended client: it can neither rename
// itself under the eyes of those who decide about it, nor leave and come back.
func (r *Registry) Registered(ctx context.Context, id, token string) (store.Client, error) {
	c, err := r.Store.Registration(ctx, id, store.HashOf(token))
	if errors.Is(err, store.ErrNotFound) {
		return c, ErrUnknown
	}
	if err != nil {
		return c, fmt.Errorf("find registration: %w", err)
	}
	if r.IsSuspended(id) {
		return store.Client{}, ErrSuspended
	}
	return c, nil
}

// Update replaces what a client said about itself (RFC 7592 §2.2), under the
// policy that new clients are under. Its id and how it came to be known stay,
// and its trust cannot rise. It keeps its secret as long as it needs one.
func (r *Registry) Update(ctx context.Context, old store.Client, u RegistrationUpdate) (Registered, error) {
	if u.ID != old.ID {
		return Registered{}, invalidMetadata("client_id must be there, and be the one of this client")
	}
	if u.Secret != "" && (old.SecretHash == store.Hash{} || store.HashOf(u.Secret) != old.SecretHash) {
		return Registered{}, invalidMetadata("client_secret: a client cannot choose it; leave it out")
	}
	c, secret, err := r.describe(u.Registration)
	if err != nil {
		return Registered{}, err
	}
	c.ID, c.Registration, c.CreatedAt = old.ID, old.Registration, old.CreatedAt
	c.Type, c.Assurance = old.Type, min(old.Assurance, c.Assurance)
	if secret != "" && old.SecretHash != (store.Hash{}) {
		secret, c.SecretHash = "", old.SecretHash
	}
	err = r.Store.UpdateClient(ctx, c)
	if errors.Is(err, store.ErrNotFound) {
		return Registered{}, ErrUnknown
	}
	if err != nil {
		return Registered{}, fmt.Errorf("update client: %w", err)
	}
	return Registered{Client: c, Secret: secret}, nil
}

// Unregister removes a client and ends all of its grants (RFC 7592 §2.3).
func (r *Registry) Unregister(ctx context.Context, c store.Client) error {
	if err := r.Store.DeleteClient(ctx, c.ID); err != nil {
		return fmt.Errorf("delete client: %w", err)
	}
	r.suspended.Delete(c.ID) // as the store has it: nobody gets the id again
	return nil
}

// RegistrationUpdate is the body of an update: the whole metadata, and the
// client's id.
type RegistrationUpdate struct {
	Registration
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// notUpdated are members that a client must not send back (RFC 7592 §2.2).
var notUpdated = []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"}

// ParseUpdate reads the body of an update.
func ParseUpdate(body []byte) (RegistrationUpdate, error) {
	var u RegistrationUpdate
	names, err := memberNames(body)
	if err == nil {
		err = json.Unmarshal(body, &u)
	}
	if err != nil {
		return u, invalidMetadata("the body is not one JSON object of client metadata (RFC 7592 §2.2)")
	}
	for _, n := range names {
		if slices.Contains(notUpdated, strings.ToLower(n)) {
			return u, oauth.InvalidRequest("leave out " + strings.Join(notUpdated, ", "))
		}
	}
	return u, nil
}
