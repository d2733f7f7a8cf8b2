package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/revocation"
)

// AddConsent remembers what a user allowed.
func (db *DB) AddConsent(ctx context.Context, c store.Consent) error {
	return db.exec(ctx, `INSERT INTO consents (user_id, client_id, redirect_uri, resource, scope, given_at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET given_at = excluded.given_at`,
		c.UserID, c.ClientID, c.RedirectURI, c.Resource, c.Scope, millis(c.GivenAt))
}

// HasConsent reports whether a user allowed exactly this before.
func (db *DB) HasConsent(ctx context.Context, c store.Consent) (bool, error) {
	var found bool
	err := db.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM consents
		WHERE user_id = ? AND client_id = ? AND redirect_uri = ? AND resource = ? AND scope = ?)`,
		c.UserID, c.ClientID, c.RedirectURI, c.Resource, c.Scope).Scan(&found)
	return found, err
}

// AddGrant stores a grant of a user who is approved and the code that redeems
// it, both or neither. ErrNotFound says that the user is not approved, or not
// any more.
func (db *DB) AddGrant(ctx context.Context, g store.Grant, c store.Code) error {
	return db.write.Transact(ctx, func(tx tx) error {
		if err := insertGrant(ctx, tx, g); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO codes (hash, grant_id, client_id, redirect_uri, challenge, jkt, expires_at)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, c.Hash[:], c.GrantID, c.ClientID, c.RedirectURI, c.Challenge, c.JKT, millis(c.ExpiresAt))
		return translate(err)
	})
}

// insertGrant stores a grant of a user. That they are approved is asked in the
// same statement: of whoever is being suspended, each grant is there before and
// ends with the others, or is not stored.
func insertGrant(ctx context.Context, tx tx, g store.Grant) error {
	res, err := tx.ExecContext(ctx, `INSERT INTO grants (id, user_id, client_id, resource, scope, nonce, auth_time, created_at, expires_at)
		SELECT ?, id, ?, ?, ?, ?, ?, ?, ? FROM users WHERE id = ? AND status = 'approved'`, g.ID, g.ClientID, g.Resource, g.Scope, g.Nonce,
		millis(g.AuthTime), millis(g.CreatedAt), millis(g.ExpiresAt), g.UserID)
	if err != nil {
		return translate(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, store.ErrNotFound)
	}
	return nil
}

const grantColumns = "grants.id, COALESCE(grants.user_id, ''), grants.client_id, grants.resource, grants.scope, grants.nonce, grants.auth_time, grants.created_at, grants.expires_at, grants.revoked"

type grantRow struct {
	store.Grant
	auth, created, expires int64
}

func (g *grantRow) fields() []any {
	return []any{&g.ID, &g.UserID, &g.ClientID, &g.Resource, &g.Scope, &g.Nonce, &g.auth, &g.created, &g.expires, &g.Revoked}
}

func (g *grantRow) grant() store.Grant {
	g.AuthTime, g.CreatedAt, g.ExpiresAt = fromMillis(g.auth), fromMillis(g.created), fromMillis(g.expires)
	return g.Grant
}

// Code returns a code, used or not, and its grant.
func (db *DB) Code(ctx context.Context, hash store.Hash) (store.Code, store.Grant, error) {
	c, g := store.Code{Hash: hash}, grantRow{}
	var expires int64
	err := db.read.QueryRowContext(ctx, `SELECT grant_id, codes.client_id, redirect_uri, challenge, jkt, codes.expires_at, used, `+grantColumns+
		` FROM codes JOIN grants ON grants.id = grant_id WHERE hash = ?`, hash[:]).
		Scan(append([]any{&c.GrantID, &c.ClientID, &c.RedirectURI, &c.Challenge, &c.JKT, &expires, &c.Used}, g.fields()...)...)
	c.ExpiresAt = fromMillis(expires)
	return c, g.grant(), translate(err)
}

// TakeCode marks a code as used, or returns ErrNotFound when it was before:
// of any number of callers one succeeds. The code is kept so that presenting
// it again is noticed.
func (db *DB) TakeCode(ctx context.Context, hash store.Hash) error {
	return db.exec(ctx, "UPDATE codes SET used = 1 WHERE hash = ? AND used = 0", hash[:])
}

// AddTokens stores the tokens of one answer, all or none. It returns
// ErrNotFound when their grant was revoked in the meantime.
func (db *DB) AddTokens(ctx context.Context, tokens ...store.Token) error {
	return db.write.Transact(ctx, func(tx tx) error { return insertTokens(ctx, tx, tokens...) })
}

func insertTokens(ctx context.Context, tx tx, tokens ...store.Token) error {
	for _, t := range tokens {
		res, err := tx.ExecContext(ctx, `INSERT INTO tokens (hash, id, kind, grant_seq, scope, jkt, issued_at, expires_at)
			SELECT ?, ?, ?, seq, ?, ?, ?, ? FROM grants WHERE id = ? AND revoked = 0`,
			t.Hash[:], t.ID, t.Kind, t.Scope, t.JKT, millis(t.IssuedAt), millis(t.ExpiresAt), t.GrantID)
		if err != nil {
			return translate(err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return store.ErrNotFound
		}
	}
	return nil
}

const liveQuery = `SELECT hash, tokens.id, kind, tokens.scope, jkt, issued_at, tokens.expires_at, used, tokens.revoked, ` +
	grantColumns + `, ` + maybeUserColumns + `, COALESCE(clients.metadata, '')
	FROM tokens JOIN grants ON grants.seq = grant_seq LEFT JOIN users ON users.id = grants.user_id
	LEFT JOIN clients ON clients.id = grants.client_id WHERE `

// Token returns a token by its hash, with its grant, its user, if there is
// one, and, unless that is a reviewed one, its client.
func (db *DB) Token(ctx context.Context, hash store.Hash) (store.LiveToken, error) {
	return scanToken(db.read.QueryRowContext(ctx, liveQuery+"hash = ?", hash[:]))
}

// TokenByID returns a token by the jti of the JWT behind it.
func (db *DB) TokenByID(ctx context.Context, id string) (store.LiveToken, error) {
	return scanToken(db.read.QueryRowContext(ctx, liveQuery+"tokens.id = ?", id))
}

func scanToken(row interface{ Scan(...any) error }) (store.LiveToken, error) {
	var t store.LiveToken
	var g grantRow
	var hash []byte
	var issued, expires int64
	var client string
	fields := []any{&hash, &t.ID, &t.Kind, &t.Scope, &t.JKT, &issued, &expires, &t.Used, &t.Revoked}
	fields = append(append(append(fields, g.fields()...), userFields(&t.User)...), &client)
	if err := row.Scan(fields...); err != nil {
		return t, translate(err)
	}
	copy(t.Hash[:], hash)
	t.IssuedAt, t.ExpiresAt, t.Grant, t.GrantID = fromMillis(issued), fromMillis(expires), g.grant(), g.ID
	if client != "" {
		if err := json.Unmarshal([]byte(client), &t.Client); err != nil {
			return t, err
		}
	}
	return t, nil
}

// RevokeToken ends one token. Ending it again is fine.
func (db *DB) RevokeToken(ctx context.Context, hash store.Hash) error {
	var id string
	err := db.write.QueryRowContext(ctx, "UPDATE tokens SET revoked = 1 WHERE hash = ? AND revoked = 0 RETURNING id", hash[:]).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return db.announce(err, revocation.Token, id)
}

// RevokeGrant ends all tokens of a grant. Ending it again is fine.
func (db *DB) RevokeGrant(ctx context.Context, id string) error {
	err := db.exec(ctx, "UPDATE grants SET revoked = 1 WHERE id = ? AND revoked = 0", id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return db.announce(err, revocation.Grant, id)
}

// ForgetConsent makes a client ask a user again. What it has it keeps.
func (db *DB) ForgetConsent(ctx context.Context, userID, clientID string) error {
	_, err := db.write.ExecContext(ctx, "DELETE FROM consents WHERE user_id = ? AND client_id = ?", userID, clientID)
	return err
}

// RevokeConsent forgets what a user allowed a client and ends every grant of
// the two, in one step. It reports whether there was anything to end.
func (db *DB) RevokeConsent(ctx context.Context, userID, clientID string) (had bool, err error) {
	var ended int64
	err = db.write.Transact(ctx, func(tx tx) error {
		ended = 0
		for _, q := range []string{
			"DELETE FROM consents WHERE user_id = ? AND client_id = ?",
			"UPDATE grants SET revoked = 1 WHERE user_id = ? AND client_id = ? AND revoked = 0",
		} {
			res, err := tx.ExecContext(ctx, q, userID, clientID)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			ended += n
		}
		return nil
	})
	if err != nil || ended == 0 {
		return false, err
	}
	return true, db.announce(nil, revocation.User, userID) // one event, however many grants there were
}

// AddKey stores a signing key.
func (db *DB) AddKey(ctx context.Context, k store.Key) error {
	return db.exec(ctx, "INSERT INTO keys (id, private, created_at) VALUES (?, ?, ?)", k.ID, k.Private, millis(k.CreatedAt))
}

// Keys returns all signing keys, oldest first.
func (db *DB) Keys(ctx context.Context) ([]store.Key, error) {
	rows, err := db.read.QueryContext(ctx, "SELECT id, private, created_at FROM keys ORDER BY created_at, id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []store.Key
	for rows.Next() {
		var k store.Key
		var created int64
		if err := rows.Scan(&k.ID, &k.Private, &created); err != nil {
			return nil, err
		}
		k.CreatedAt = fromMillis(created)
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// DeleteKey removes a signing key. One that is gone already is fine.
func (db *DB) DeleteKey(ctx context.Context, id string) error {
	_, err := db.write.ExecContext(ctx, "DELETE FROM keys WHERE id = ?", id)
	return err
}
