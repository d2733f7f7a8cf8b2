package sqlite

import (
	"context"
	"database/sql"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/revocation"
)

const userColumns = "users.id, users.email, users.region, users.role, users.status"

func userFields(u *store.User) []any {
	return []any{&u.ID, &u.Email, &u.Region, &u.Role, &u.Status}
}

// AddUser stores a new user, or returns ErrExists for a known address.
func (db *DB) AddUser(ctx context.Context, u store.User) error {
	return db.exec(ctx, "INSERT INTO users (id, email, region, role, status) VALUES (?, ?, ?, ?, ?)",
		u.ID, u.Email, u.Region, u.Role, u.Status)
}

// User returns the user with an id.
func (db *DB) User(ctx context.Context, id string) (store.User, error) {
	var u store.User
	err := db.read.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE id = ?", id).Scan(userFields(&u)...)
	return u, translate(err)
}

// UsersByID returns those users that there are of some ids, in no order.
func (db *DB) UsersByID(ctx context.Context, ids []string) ([]store.User, error) {
	return list(ctx, db, func(rows *sql.Rows) (u store.User, err error) { return u, rows.Scan(userFields(&u)...) },
		"SELECT "+userColumns+" FROM users WHERE id IN "+anyOf, arrayOf(ids))
}

// UserByEmail returns the user with a canonical address.
func (db *DB) UserByEmail(ctx context.Context, email string) (store.User, error) {
	var u store.User
	err := db.read.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE email = ?", email).Scan(userFields(&u)...)
	return u, translate(err)
}

// SetUserStatus sets whether a user may sign in. It ends nothing of what they
// have, which is good for nothing while they may not; SuspendUser does.
func (db *DB) SetUserStatus(ctx context.Context, id, status string) error {
	err := db.exec(ctx, "UPDATE users SET status = ? WHERE id = ?", status, id)
	return db.announce(err, revocation.User, id)
}

// SetAdmins makes administrators of the users with these addresses and of
// nobody else. Sessions of the administration end for those who are none.
func (db *DB) SetAdmins(ctx context.Context, emails []string) error {
	return db.inTx(ctx, func(tx tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE users SET role = CASE WHEN email IN "+anyOf+" THEN ? ELSE ? END",
			arrayOf(emails), store.RoleAdmin, store.RoleUser)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM admin_sessions WHERE user_id NOT IN (SELECT id FROM users WHERE role = ?)", store.RoleAdmin)
		return err
	})
}

// AddSession stores a session of a user who is approved, else it returns
// ErrNotFound. Looking and adding are one statement: of whoever is being
// suspended, each session is there before and ends with the others, or is not
// stored.
func (db *DB) AddSession(ctx context.Context, s store.Session) error {
	return db.exec(ctx, `INSERT INTO sessions (id, user_id, auth_time, last_seen, expires_at)
		SELECT ?, id, ?, ?, ? FROM users WHERE id = ? AND status = 'approved'`,
		s.ID[:], millis(s.AuthTime), millis(s.LastSeen), millis(s.ExpiresAt), s.UserID)
}

// Session returns a session and its user.
func (db *DB) Session(ctx context.Context, id store.Hash) (store.Session, store.User, error) {
	s, u := store.Session{ID: id}, store.User{}
	var auth, seen, expires int64
	err := db.read.QueryRowContext(ctx,
		"SELECT user_id, auth_time, last_seen, expires_at, "+userColumns+
			" FROM sessions JOIN users ON users.id = user_id WHERE sessions.id = ?", id[:]).
		Scan(append([]any{&s.UserID, &auth, &seen, &expires}, userFields(&u)...)...)
	s.AuthTime, s.LastSeen, s.ExpiresAt = fromMillis(auth), fromMillis(seen), fromMillis(expires)
	return s, u, translate(err)
}

// TouchSession notes that a session was used.
func (db *DB) TouchSession(ctx context.Context, id store.Hash, now time.Time) error {
	return db.exec(ctx, "UPDATE sessions SET last_seen = ? WHERE id = ?", millis(now), id[:])
}

// EndSession signs a browser out, and its user out of the administration. A
// session that is gone already is fine.
func (db *DB) EndSession(ctx context.Context, id store.Hash) error {
	return db.inTx(ctx, func(tx tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM admin_sessions WHERE user_id = (SELECT user_id FROM sessions WHERE id = ?)", id[:])
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM sessions WHERE id = ?", id[:])
		return err
	})
}

// DeleteSession ends one session. One that is gone already is fine.
func (db *DB) DeleteSession(ctx context.Context, id store.Hash) error {
	_, err := db.write.ExecContext(ctx, "DELETE FROM sessions WHERE id = ?", id[:])
	return err
}
