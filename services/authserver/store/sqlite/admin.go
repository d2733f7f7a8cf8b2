package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"
	"time"

	"demo.example/services/authserver/store"
)

// What an administrator sees of everybody. All lists are pages: each row knows
// where the next one begins.

const usersQuery = "SELECT " + userColumns + `, (SELECT COUNT(*) FROM sessions WHERE user_id = users.id AND expires_at > ?1),
	COALESCE((SELECT MAX(last_seen) FROM admin_sessions WHERE user_id = users.id AND expires_at > ?1), 0)
	FROM users WHERE email > ?2 ORDER BY email LIMIT ?3`

// Users returns users in the order of their addresses, those after an address.
func (db *DB) Users(ctx context.Context, after string, now time.Time, limit int) ([]store.UserOverview, error) {
	return list(ctx, db, func(rows *sql.Rows) (u store.UserOverview, err error) {
		var seen int64
		err = rows.Scan(append(userFields(&u.User), &u.Sessions, &seen)...)
		u.AdminSeen = fromMillis(seen)
		return u, err
	}, usersQuery, millis(now), after, limit)
}

const clientOverviewsQuery = `SELECT clients.rowid, metadata, EXISTS (SELECT 1 FROM suspended_clients WHERE client_id = clients.id),
	(SELECT COUNT(*) FROM grants WHERE client_id = clients.id AND revoked = 0 AND expires_at > ?1),
	COALESCE((SELECT MAX(used_at) FROM grants JOIN grant_uses ON grant_id = grants.id WHERE client_id = clients.id), 0)
	FROM clients WHERE clients.rowid < ?2 ORDER BY clients.rowid DESC LIMIT ?3`

// ClientOverviews returns clients that were not reviewed, the newest first,
// those before a place; 0 is the beginning.
func (db *DB) ClientOverviews(ctx context.Context, before int64, now time.Time, limit int) ([]store.ClientOverview, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	return list(ctx, db, func(rows *sql.Rows) (c store.ClientOverview, err error) {
		var metadata string
		var used int64
		if err := rows.Scan(&c.Place, &metadata, &c.Suspended, &c.Grants, &used); err != nil {
			return c, err
		}
		c.UsedAt = fromMillis(used)
		return c, json.Unmarshal([]byte(metadata), &c.Client)
	}, clientOverviewsQuery, millis(now), before, limit)
}

// ClientUses returns how clients are used, by id.
func (db *DB) ClientUses(ctx context.Context, ids []string, now time.Time) (map[string]store.ClientUse, error) {
	uses := map[string]store.ClientUse{}
	_, err := list(ctx, db, func(rows *sql.Rows) (none struct{}, err error) {
		var id string
		var use store.ClientUse
		var used int64
		err = rows.Scan(&id, &use.Grants, &used)
		use.UsedAt = fromMillis(used)
		uses[id] = use
		return none, err
	}, `SELECT value, (SELECT COUNT(*) FROM grants WHERE client_id = value AND revoked = 0 AND expires_at > ?1),
		COALESCE((SELECT MAX(used_at) FROM grants JOIN grant_uses ON grant_id = grants.id WHERE client_id = value), 0)
		FROM json_each(?2)`, millis(now), arrayOf(ids))
	return uses, err
}

// live is the condition under which a grant is good for something. ?1 is the
// time. The plus keeps SQLite from looking up all that have not expired, which
// are nearly all, and sorting them.
const live = `revoked = 0 AND +grants.expires_at > ?1 AND
	(EXISTS (SELECT 1 FROM tokens WHERE grant_seq = grants.seq AND used = 0 AND revoked = 0 AND expires_at > ?1)
	OR EXISTS (SELECT 1 FROM codes WHERE grant_id = grants.id AND used = 0 AND expires_at > ?1)
	OR EXISTS (SELECT 1 FROM devices WHERE grant_id = grants.id AND status = 'approved' AND expires_at > ?1))`

// LiveGrants returns grants that are good for something, of one user and one
// client where these are not empty: the newest first, those before an id.
func (db *DB) LiveGrants(ctx context.Context, userID, clientID, before string, now time.Time, limit int) ([]store.GrantOverview, error) {
	return list(ctx, db, scanGrantOverview, liveGrantsQuery(userID, clientID, before), millis(now), userID, clientID, before, limit)
}

// liveGrantsQuery has only the conditions that there are: SQLite finds an index
// for these, and none for conditions that may be none.
func liveGrantsQuery(userID, clientID, before string) string {
	query := "SELECT " + grantColumns + `, COALESCE(used_at, 0), 1, ` + maybeUserColumns + `
		FROM grants LEFT JOIN grant_uses ON grant_uses.grant_id = grants.id LEFT JOIN users ON users.id = user_id WHERE ` + live
	if userID != "" {
		query += " AND user_id = ?2"
	}
	if clientID != "" {
		query += " AND client_id = ?3"
	}
	if before != "" {
		query += " AND grants.id < ?4"
	}
	return query + " ORDER BY grants.id DESC LIMIT ?5"
}

// GrantOverview returns a grant, whether it is good for something or not.
func (db *DB) GrantOverview(ctx context.Context, id string, now time.Time) (store.GrantOverview, error) {
	found, err := list(ctx, db, scanGrantOverview, "SELECT "+grantColumns+`, COALESCE(used_at, 0), `+live+`, `+maybeUserColumns+`
		FROM grants LEFT JOIN grant_uses ON grant_uses.grant_id = grants.id LEFT JOIN users ON users.id = user_id
		WHERE grants.id = ?2`, millis(now), id)
	switch {
	case err != nil:
		return store.GrantOverview{}, err
	case len(found) == 0:
		return store.GrantOverview{}, store.ErrNotFound
	}
	return found[0], nil
}

func scanGrantOverview(rows *sql.Rows) (o store.GrantOverview, err error) {
	var g grantRow
	var used int64
	err = rows.Scan(append(append(g.fields(), &used, &o.Live), userFields(&o.User)...)...)
	o.Grant, o.UsedAt = g.grant(), fromMillis(used)
	return o, err
}

// TokensOf returns the tokens of a grant that have not expired, the newest
// first.
func (db *DB) TokensOf(ctx context.Context, grantID string, now time.Time, limit int) ([]store.Token, error) {
	return list(ctx, db, func(rows *sql.Rows) (t store.Token, err error) {
		var hash []byte
		var issued, expires int64
		err = rows.Scan(&hash, &t.ID, &t.Kind, &t.GrantID, &t.Scope, &t.JKT, &issued, &expires, &t.Used, &t.Revoked)
		copy(t.Hash[:], hash)
		t.IssuedAt, t.ExpiresAt = fromMillis(issued), fromMillis(expires)
		return t, err
	}, `SELECT hash, tokens.id, kind, grants.id, tokens.scope, jkt, issued_at, tokens.expires_at, used, tokens.revoked
		FROM grants JOIN tokens ON grant_seq = grants.seq WHERE grants.id = ? AND tokens.expires_at > ? ORDER BY issued_at DESC, tokens.id LIMIT ?`, grantID, millis(now), limit)
}

// Totals counts what there is.
func (db *DB) Totals(ctx context.Context, now time.Time) (t store.Totals, err error) {
	err = db.read.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM users WHERE status = 'pending'),
		(SELECT COUNT(*) FROM users WHERE status = 'suspended'), (SELECT COUNT(*) FROM clients), (SELECT COUNT(*) FROM suspended_clients),
		(SELECT COUNT(*) FROM grants WHERE revoked = 0 AND expires_at > ?1), (SELECT COUNT(*) FROM sessions WHERE expires_at > ?1)`, millis(now)).
		Scan(&t.Users, &t.Pending, &t.SuspendedUsers, &t.Clients, &t.SuspendedClients, &t.Grants, &t.Sessions)
	return t, err
}

// PasscodesSince counts the passcodes that were asked for since a time, and
// for how many addresses and from how many IP addresses.
func (db *DB) PasscodesSince(ctx context.Context, since time.Time) (all, addresses, ips int, err error) {
	err = db.read.QueryRowContext(ctx, "SELECT COUNT(*), COUNT(DISTINCT email), COUNT(DISTINCT ip) FROM passcode_log WHERE sent_at > ?", millis(since)).
		Scan(&all, &addresses, &ips)
	return all, addresses, ips, err
}
