// Package clients knows who the OAuth clients are: the reviewed ones of this
// deployment (preset.go), those that registered themselves (register.go, RFC
// 7591), and those described by a document at their own domain (document.go).
// It also authenticates them (authenticate.go, assertion.go) and decides whether a redirect
// URI is theirs (redirect.go).
package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"demo.example/services/authserver/store"
)

// ErrUnknown is a client id that nobody has.
var ErrUnknown = errors.New("unknown client")

// Types of client, as the client_type claim says them.
const (
	TypeMCP = "mcp" // acts for a person with a mind of its own
	TypeWeb = "web" // an ordinary application
)

// What a client had to prove, as the client_assurance_level claim says it.
const (
	AssuranceNone   = 1 // anybody can register like this
	AssuranceDomain = 2 // controls a web domain, or was reviewed
	AssuranceKey    = 3 // proves possession of a key
)

// Authentication methods (RFC 7591 §2).
const (
	AuthNone  = "none"
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"

	AuthPrivateKey = "private_key_jwt" // OpenID Connect Core §9
)

// AuthMethods lists what the token endpoint takes.
var AuthMethods = []string{AuthNone, AuthBasic, AuthPost, AuthPrivateKey}

// clientStore is what the registry needs of the store.
type clientStore interface {
	SaveClient(ctx context.Context, c store.Client) error
	Client(ctx context.Context, id string) (store.Client, error)
	ClientsByID(ctx context.Context, ids []string) ([]store.Client, error)

	AddRegistration(ctx context.Context, c store.Client, token store.Hash, until time.Time, maxUnused int) error
	Registration(ctx context.Context, id string, token store.Hash) (store.Client, error)
	UpdateClient(ctx context.Context, c store.Client) error
	KeepClient(ctx context.Context, id string, until time.Time) error
	DeleteClient(ctx context.Context, id string) error

	ClientOverviews(ctx context.Context, before int64, now time.Time, limit int) ([]store.ClientOverview, error)
	ClientUses(ctx context.Context, ids []string, now time.Time) (map[string]store.ClientUse, error)
	SuspendClient(ctx context.Context, id string, now time.Time) error
	RestoreClient(ctx context.Context, id string) error
	SuspendedClients(ctx context.Context) ([]string, error)
}

// Registry finds and registers clients.
type Registry struct {
	Presets   map[string]store.Client
	Store     clientStore
	Documents *Documents
	Policy    Policy
	MaxUnused int // registrations that no user ever approved; the oldest go first
	Now       func() time.Time

	Assertions assertionStore
	Audiences  []string // whom an assertion may be for: the issuer, or its token endpoint

	suspended sync.Map // ids (administer.go)
}

// Policy is what a client gets that nobody reviewed, whatever it asks for.
type Policy struct {
	Scope    string // all that it may ask for, space separated
	Resource string // the one resource it gets tokens for
}

// Find returns a client that is known already, for the endpoints that never
// fetch anything: a token request must not make this server call out.
func (r *Registry) Find(ctx context.Context, id string) (store.Client, error) {
	if r.IsSuspended(id) {
		return store.Client{}, ErrSuspended
	}
	return r.Lookup(ctx, id)
}

// Lookup returns a client that is known, also when it is suspended: it is for
// pages that show it.
func (r *Registry) Lookup(ctx context.Context, id string) (store.Client, error) {
	if c, ok := r.Presets[id]; ok {
		return c, nil
	}
	c, err := r.Store.Client(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return c, ErrUnknown
	}
	if err != nil {
		return c, fmt.Errorf("find client: %w", err)
	}
	return c, nil
}

// LookupAll is Lookup for many, by id. Those that nobody knows are left out.
func (r *Registry) LookupAll(ctx context.Context, ids []string) (map[string]store.Client, error) {
	if len(ids) == 0 {
		return map[string]store.Client{}, nil
	}
	found, err := r.Store.ClientsByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("find clients: %w", err)
	}
	out := map[string]store.Client{}
	for _, c := range found {
		out[c.ID] = c
	}
	for _, id := range ids {
		if c, ok := r.Presets[id]; ok {
			out[id] = c
		}
	}
	return out, nil
}

// Resolve returns the client that begins an authorization request. An id that
// is a URL is looked up there.
func (r *Registry) Resolve(ctx context.Context, id string) (store.Client, error) {
	if _, preset := r.Presets[id]; preset || !strings.HasPrefix(id, "https://") {
		return r.Find(ctx, id)
	}
	if r.IsSuspended(id) {
		return store.Client{}, ErrSuspended
	}
	doc, err := r.Documents.Get(ctx, id)
	if errors.Is(err, errThrottled) {
		if _, err := r.Lookup(ctx, id); err != nil { // no user let it in
			return store.Client{}, err
		}
		doc, err = r.Documents.GetKnown(ctx, id)
	}
	if err != nil {
		return store.Client{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	c := store.Client{
		ID:           id,
		Registration: store.RegisteredByDocument,
		Name:         doc.Name,
		URI:          doc.URI,
		RedirectURIs: doc.RedirectURIs,
		LogoutURIs:   doc.LogoutURIs,
		GrantTypes:   doc.GrantTypes,
		AuthMethod:   AuthNone,
		Scope:        r.Policy.Scope,
		Resources:    []string{r.Policy.Resource},
		Type:         TypeMCP,
		Assurance:    AssuranceDomain,
		BoundTokens:  doc.BoundTokens,
		CreatedAt:    r.Now(),
	}
	if doc.AuthMethod == AuthPrivateKey {
		c.AuthMethod, c.JWKS, c.SigningAlg, c.Assurance = AuthPrivateKey, doc.keys, doc.SigningAlg, AssuranceKey
	}
	return c, nil
}

// Remember notes that a user let a client in, with a grant that ends at a
// time. A client that was looked up is kept from then on, so that redeeming
// its code and refreshing its tokens need not look it up again.
func (r *Registry) Remember(ctx context.Context, c store.Client, grantEnds time.Time) error {
	switch c.Registration {
	case store.RegisteredByReview:
		return nil
	case store.RegisteredByDocument:
		if err := r.Store.SaveClient(ctx, c); err != nil {
			return err
		}
	}
	return r.Store.KeepClient(ctx, c.ID, grantEnds.Add(idleLifetime))
}

// AllowsGrant reports whether a client registered for a grant type.
func AllowsGrant(c store.Client, grant string) bool { return slices.Contains(c.GrantTypes, grant) }
