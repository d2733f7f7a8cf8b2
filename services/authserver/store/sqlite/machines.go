package sqlite

import (
	"context"
	"time"

	"demo.example/services/authserver/store"
)

// maybeUserColumns are userColumns where there may be no user. All of one that
// is missing is empty, its status too, so that it counts as not approved.
const maybeUserColumns = "COALESCE(users.id, ''), COALESCE(users.email, ''), COALESCE(users.region, ''), COALESCE(users.role, ''), COALESCE(users.status, '')"

// AddClientGrant stores the grant of a client that acts for itself and its one
// token, both or neither.
func (db *DB) AddClientGrant(ctx context.Context, g store.Grant, t store.Token) error {
	return db.write.Transact(ctx, func(tx tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO grants (id, user_id, client_id, resource, scope, nonce, auth_time, created_at, expires_at)
			VALUES (?, NULL, ?, ?, ?, '', 0, ?, ?)`, g.ID, g.ClientID, g.Resource, g.Scope, millis(g.CreatedAt), millis(g.ExpiresAt))
		if err != nil {
			return translate(err)
		}
		t.GrantID = g.ID
		return insertTokens(ctx, tx, t)
	})
}

// AddAssertion notes that a client assertion was used, or returns ErrExists
// when it was before: of any number of callers one succeeds. It is kept until
// it expires, after which it is refused for that.
func (db *DB) AddAssertion(ctx context.Context, hash store.Hash, expires time.Time) error {
	return db.exec(ctx, "INSERT INTO assertions (hash, expires_at) VALUES (?, ?)", hash[:], millis(expires))
}
