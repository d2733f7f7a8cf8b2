package clients

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"demo.example/services/authserver/store"
)

// Administration is the client id of this server's own administration. An
// administrator who suspended it could not undo that.
const Administration = "admin"

// ErrSuspended is a client that an administrator does not let in. It is an
// ErrUnknown for whoever does not tell the two apart.
var ErrSuspended = fmt.Errorf("%w: it is suspended", ErrUnknown)

// ErrProtected is a client that the deployment would not work without.
var ErrProtected = errors.New("this deployment does not work without the client")

// LoadSuspended learns which clients are suspended. From then on that is known
// in memory, since it is asked for at every call; there is one process.
func (r *Registry) LoadSuspended(ctx context.Context) error {
	ids, err := r.Store.SuspendedClients(ctx)
	if err != nil {
		return fmt.Errorf("suspended clients: %w", err)
	}
	for _, id := range ids {
		r.suspended.Store(id, true)
	}
	return nil
}

// IsSuspended reports whether a client is not let in.
func (r *Registry) IsSuspended(id string) bool {
	_, ok := r.suspended.Load(id)
	return ok
}

// IsProtected reports whether a client is a part of the deployment, which can
// be neither suspended nor deleted: a resource server, or the administration.
func IsProtected(c store.Client) bool { return c.Type == "" || c.ID == Administration }

// Suspend ends all that a client was granted and lets it in no more, until it
// is restored. Reviewed clients can be suspended as well, except those that are
// protected. One that deleted itself meanwhile is ErrUnknown, and not suspended:
// there would be nothing to restore.
func (r *Registry) Suspend(ctx context.Context, id string) error {
	if c, ok := r.Presets[id]; ok && IsProtected(c) {
		return ErrProtected
	}
	before := r.IsSuspended(id)
	r.suspended.Store(id, true) // first, so that nothing is granted once all that was granted has ended
	if err := r.Store.SuspendClient(ctx, id, r.Now()); err != nil {
		if !before {
			r.suspended.Delete(id)
		}
		return fmt.Errorf("suspend client: %w", err)
	}
	_, err := r.Lookup(ctx, id)
	if errors.Is(err, ErrUnknown) {
		err = errors.Join(err, r.Restore(ctx, id))
	}
	return err
}

// Restore lets a client in again. What it was granted stays revoked.
func (r *Registry) Restore(ctx context.Context, id string) error {
	if err := r.Store.RestoreClient(ctx, id); err != nil {
		return fmt.Errorf("restore client: %w", err)
	}
	r.suspended.Delete(id)
	return nil
}

// Delete removes a client that registered itself, or that was looked up, and
// ends all that it was granted. One that was looked up comes back when it asks
// again; so one of these that is suspended stays (ErrSuspended), or nobody
// could see that it is.
func (r *Registry) Delete(ctx context.Context, c store.Client) error {
	switch {
	case c.Registration == store.RegisteredByReview:
		return ErrProtected
	case c.Registration == store.RegisteredByDocument && r.IsSuspended(c.ID):
		return ErrSuspended
	}
	return r.Unregister(ctx, c)
}

// Overviews returns clients that were not reviewed, the newest first, those
// before a place in that list; 0 is its beginning.
func (r *Registry) Overviews(ctx context.Context, before int64, limit int) ([]store.ClientOverview, error) {
	found, err := r.Store.ClientOverviews(ctx, before, r.Now(), limit)
	if err != nil {
		return nil, fmt.Errorf("list clients: %w", err)
	}
	return found, nil
}

// Reviewed returns the clients of this deployment, by id.
func (r *Registry) Reviewed(ctx context.Context) ([]store.ClientOverview, error) {
	ids := slices.Sorted(maps.Keys(r.Presets))
	uses, err := r.Store.ClientUses(ctx, ids, r.Now())
	if err != nil {
		return nil, fmt.Errorf("use of clients: %w", err)
	}
	out := make([]store.ClientOverview, len(ids))
	for i, id := range ids {
		out[i] = store.ClientOverview{Client: r.Presets[id], ClientUse: uses[id], Suspended: r.IsSuspended(id)}
	}
	return out, nil
}

// Rules is what holds for clients that nobody reviewed, as it is in force.
type Rules struct {
	Policy
	MaxUnused       int
	Unused, Idle    time.Duration // kept when no user ever approved it; and after its last grant
	Redirects, Name int           // at most: redirect URIs; characters of the name
	GrantTypes      []string      // of those that register themselves
	DocumentGrants  []string      // of those that a document describes
	AuthMethods     []string
	Algorithms      []string // of private_key_jwt
	Schemes         []string // private URI schemes without a dot
}

// Rules returns what is in force.
func (r *Registry) Rules() Rules {
	return Rules{
		Policy: r.Policy, MaxUnused: r.MaxUnused, Unused: unusedLifetime, Idle: idleLifetime, Redirects: maxRedirects, Name: maxName,
		GrantTypes: offered, DocumentGrants: offeredToDocuments, AuthMethods: AuthMethods, Algorithms: Algorithms, Schemes: knownSchemes,
	}
}
