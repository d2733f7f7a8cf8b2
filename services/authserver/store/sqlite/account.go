package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"demo.example/services/authserver/store"
)

// What a user sees of their own: sessions, access that clients have, orders
// that they decided about. All lists begin with the newest and are bounded.

// NameSession notes where a session began. One that is over already is fine.
func (db *DB) NameSession(ctx context.Context, id store.Hash, browser, address string) error {
	_, err := db.write.ExecContext(ctx, `INSERT INTO session_origins (session_id, browser, address) SELECT id, ?, ? FROM sessions WHERE id = ?
		ON CONFLICT DO NOTHING`, browser, address, id[:])
	return err
}

// Sessions returns the sessions of a user that have not reached their end.
func (db *DB) Sessions(ctx context.Context, userID string, now time.Time, limit int) ([]store.NamedSession, error) {
	return list(ctx, db, func(rows *sql.Rows) (s store.NamedSession, err error) {
		var id []byte
		var auth, seen, expires int64
		err = rows.Scan(&id, &s.UserID, &auth, &seen, &expires, &s.Browser, &s.Address)
		copy(s.ID[:], id)
		s.AuthTime, s.LastSeen, s.ExpiresAt = fromMillis(auth), fromMillis(seen), fromMillis(expires)
		return s, err
	}, `SELECT id, user_id, auth_time, last_seen, expires_at, COALESCE(browser, ''), COALESCE(address, '') FROM sessions
		LEFT JOIN session_origins ON session_id = id WHERE user_id = ? AND expires_at > ? ORDER BY auth_time DESC, id LIMIT ?`, userID, millis(now), limit)
}

// DeleteOtherSessions signs a user out everywhere but here, and out of the
// administration.
func (db *DB) DeleteOtherSessions(ctx context.Context, userID string, keep store.Hash) error {
	return db.inTx(ctx, func(tx tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM admin_sessions WHERE user_id = ?", userID); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE user_id = ? AND id <> ?", userID, keep[:])
		return err
	})
}

// EndAdminSessions signs a user out of the administration, and reports whether
// they were in it.
func (db *DB) EndAdminSessions(ctx context.Context, userID string) (had bool, err error) {
	err = db.exec(ctx, "DELETE FROM admin_sessions WHERE user_id = ?", userID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// AdminSessions returns the sessions of the administration that a user has and
// that have not reached their end.
func (db *DB) AdminSessions(ctx context.Context, userID string, now time.Time, limit int) ([]store.Session, error) {
	return list(ctx, db, func(rows *sql.Rows) (s store.Session, err error) {
		var id []byte
		var auth, seen, expires int64
		err = rows.Scan(&id, &s.UserID, &auth, &seen, &expires)
		copy(s.ID[:], id)
		s.AuthTime, s.LastSeen, s.ExpiresAt = fromMillis(auth), fromMillis(seen), fromMillis(expires)
		return s, err
	}, `SELECT id, user_id, auth_time, last_seen, expires_at FROM admin_sessions
		WHERE user_id = ? AND expires_at > ? ORDER BY auth_time DESC, id LIMIT ?`, userID, millis(now), limit)
}

// Access returns the grants of a user that have not expired, with their last
// use, and whether anything that was issued for them still is good. Those for
// which something is come first, so that the bound never hides one of them
// behind others.
func (db *DB) Access(ctx context.Context, userID string, now time.Time, limit int) ([]store.Access, error) {
	return list(ctx, db, func(rows *sql.Rows) (a store.Access, err error) {
		var g grantRow
		var used int64
		err = rows.Scan(append(g.fields(), &used, &a.Live)...)
		a.Grant, a.UsedAt = g.grant(), fromMillis(used)
		return a, err
	}, "SELECT "+grantColumns+`, COALESCE(used_at, 0), revoked = 0 AND
		(EXISTS (SELECT 1 FROM tokens WHERE grant_seq = grants.seq AND used = 0 AND revoked = 0 AND expires_at > ?1)
		OR EXISTS (SELECT 1 FROM codes WHERE grant_id = grants.id AND used = 0 AND expires_at > ?1)
		OR EXISTS (SELECT 1 FROM devices WHERE grant_id = grants.id AND status = 'approved' AND expires_at > ?1)) AS live
		FROM grants LEFT JOIN grant_uses ON grant_uses.grant_id = grants.id
		WHERE user_id = ?2 AND expires_at > ?1 ORDER BY live DESC, created_at DESC, grants.id LIMIT ?3`, millis(now), userID, limit)
}

// Consents returns what a user allowed, and did not take back.
func (db *DB) Consents(ctx context.Context, userID string, limit int) ([]store.Consent, error) {
	return list(ctx, db, func(rows *sql.Rows) (c store.Consent, err error) {
		var given int64
		err = rows.Scan(&c.UserID, &c.ClientID, &c.RedirectURI, &c.Resource, &c.Scope, &given)
		c.GivenAt = fromMillis(given)
		return c, err
	}, `SELECT user_id, client_id, redirect_uri, resource, scope, given_at FROM consents WHERE user_id = ?
		ORDER BY given_at DESC, client_id LIMIT ?`, userID, limit)
}

// Approvals returns the orders that a user was asked about, of grants that were
// revoked too.
func (db *DB) Approvals(ctx context.Context, userID string, limit int) ([]store.LiveApproval, error) {
	return list(ctx, db, func(rows *sql.Rows) (out store.LiveApproval, err error) {
		var a approvalRow
		var g grantRow
		err = rows.Scan(append(a.fields(), g.fields()...)...)
		out.Approval, out.Grant = a.approval(), g.grant()
		return out, err
	}, "SELECT "+approvalColumns+", "+grantColumns+` FROM approvals JOIN grants ON grants.id = grant_id
		WHERE user_id = ? ORDER BY approvals.created_at DESC, approvals.id LIMIT ?`, userID, limit)
}

// NoteUses notes when grants were last used, all in one transaction. A grant
// that is gone is left out.
func (db *DB) NoteUses(ctx context.Context, uses map[string]time.Time) error {
	return db.write.Transact(ctx, func(tx tx) error {
		for id, at := range uses {
			_, err := tx.ExecContext(ctx, `INSERT INTO grant_uses (grant_id, used_at) SELECT id, ? FROM grants WHERE id = ?
				ON CONFLICT DO UPDATE SET used_at = MAX(used_at, excluded.used_at)`, millis(at), id)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// anyOf stands for any of the values in a parameter that arrayOf made, however
// many: one statement is good for all of them.
const anyOf = "(SELECT value FROM json_each(?))"

func arrayOf(values []string) string {
	raw, err := json.Marshal(append([]string{}, values...)) // never null
	if err != nil {
		panic(err) // texts always have a form in JSON
	}
	return string(raw)
}

// list reads all rows of a query.
func list[T any](ctx context.Context, db *DB, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
