package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/revocation"
)

// SuspendUser ends all that a user has, in one step: sessions, those of the
// administration too, and grants. Approving the user again brings none of it
// back.
func (db *DB) SuspendUser(ctx context.Context, id string) error {
	err := db.inTx(ctx, func(tx tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE users SET status = ? WHERE id = ?", store.UserSuspended, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, store.ErrNotFound)
		}
		for _, q := range []string{
			"DELETE FROM sessions WHERE user_id = ?",
			"DELETE FROM admin_sessions WHERE user_id = ?",
			"UPDATE grants SET revoked = 1 WHERE user_id = ?",
		} {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return err
			}
		}
		return nil
	})
	return db.announce(err, revocation.User, id)
}

// SetUserRegion moves a user to another region. It tells so, since tokens say
// which one it is.
func (db *DB) SetUserRegion(ctx context.Context, id, region string) error {
	err := db.exec(ctx, "UPDATE users SET region = ? WHERE id = ?", region, id)
	return db.announce(err, revocation.User, id)
}

// SuspendClient notes that a client is to be let in no more, and ends all that
// it was granted, both or neither.
func (db *DB) SuspendClient(ctx context.Context, id string, now time.Time) error {
	err := db.inTx(ctx, func(tx tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO suspended_clients (client_id, since) VALUES (?, ?) ON CONFLICT DO NOTHING", id, millis(now))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE grants SET revoked = 1 WHERE client_id = ?", id)
		return err
	})
	return db.announce(err, revocation.Client, id)
}

// RestoreClient lets a client in again. One that was not suspended is fine.
func (db *DB) RestoreClient(ctx context.Context, id string) error {
	_, err := db.write.ExecContext(ctx, "DELETE FROM suspended_clients WHERE client_id = ?", id)
	return err
}

// SuspendedClients returns the ids of the clients that are not let in.
func (db *DB) SuspendedClients(ctx context.Context) ([]string, error) {
	return list(ctx, db, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) },
		"SELECT client_id FROM suspended_clients ORDER BY since, client_id")
}

// AddAdminSession stores a session of the administration, of a user who is an
// administrator and approved, else it returns ErrNotFound. As with AddSession,
// that is one statement.
func (db *DB) AddAdminSession(ctx context.Context, s store.Session) error {
	return db.exec(ctx, `INSERT INTO admin_sessions (id, user_id, auth_time, last_seen, expires_at)
		SELECT ?, id, ?, ?, ? FROM users WHERE id = ? AND status = 'approved' AND role = 'admin'`,
		s.ID[:], millis(s.AuthTime), millis(s.LastSeen), millis(s.ExpiresAt), s.UserID)
}

// AdminSession returns a session of the administration and its user, as they
// are now.
func (db *DB) AdminSession(ctx context.Context, id store.Hash) (store.Session, store.User, error) {
	s, u := store.Session{ID: id}, store.User{}
	var auth, seen, expires int64
	err := db.read.QueryRowContext(ctx, "SELECT user_id, auth_time, last_seen, expires_at, "+userColumns+
		" FROM admin_sessions JOIN users ON users.id = user_id WHERE admin_sessions.id = ?", id[:]).
		Scan(append([]any{&s.UserID, &auth, &seen, &expires}, userFields(&u)...)...)
	s.AuthTime, s.LastSeen, s.ExpiresAt = fromMillis(auth), fromMillis(seen), fromMillis(expires)
	return s, u, translate(err)
}

// TouchAdminSession notes that a session of the administration was used.
func (db *DB) TouchAdminSession(ctx context.Context, id store.Hash, now time.Time) error {
	return db.exec(ctx, "UPDATE admin_sessions SET last_seen = ? WHERE id = ?", millis(now), id[:])
}

// DeleteAdminSession ends a session of the administration. One that is gone
// already is fine.
func (db *DB) DeleteAdminSession(ctx context.Context, id store.Hash) error {
	_, err := db.write.ExecContext(ctx, "DELETE FROM admin_sessions WHERE id = ?", id[:])
	return err
}
