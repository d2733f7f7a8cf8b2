package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/revocation"
)

// trimEvery is how many registrations pass until the oldest are looked for,
// which takes a look at all of them.
const trimEvery = 64

// AddRegistration stores a client that registered itself, until a time unless
// it is used before. Not many more than maxUnused clients that nobody ever used
// are kept: the oldest of them go first, so a flood fills nothing. Those that
// are suspended stay, so that it can be seen that they are.
func (db *DB) AddRegistration(ctx context.Context, c store.Client, token store.Hash, until time.Time, maxUnused int) error {
	metadata, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	return db.inTx(ctx, func(tx tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO clients (id, registration, secret_hash, metadata, created_at) VALUES (?, ?, ?, ?, ?)",
			c.ID, c.Registration, c.SecretHash[:], string(metadata), millis(c.CreatedAt))
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, "INSERT INTO registrations (client_id, token_hash, keep_until) VALUES (?, ?, ?)", c.ID, token[:], millis(until))
		if err != nil {
			return err
		}
		if n, err := res.LastInsertId(); err != nil || n%trimEvery != 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM clients WHERE id IN (SELECT client_id FROM registrations WHERE used = 0
			AND client_id NOT IN (SELECT client_id FROM suspended_clients) ORDER BY keep_until DESC, rowid DESC LIMIT -1 OFFSET ?)`, maxUnused)
		return err
	})
}

// Registration returns the client that a registration access token is for.
func (db *DB) Registration(ctx context.Context, id string, token store.Hash) (store.Client, error) {
	var found bool
	err := db.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM registrations WHERE client_id = ? AND token_hash = ?)", id, token[:]).Scan(&found)
	if err != nil {
		return store.Client{}, err
	}
	if !found {
		return store.Client{}, store.ErrNotFound
	}
	return db.Client(ctx, id)
}

// UpdateClient replaces what a client says about itself. One that proves who
// it is in another way than before loses what it was granted: those tokens
// were kept safe by the old way. So does one that calls itself something else:
// users gave access to the name that they saw.
func (db *DB) UpdateClient(ctx context.Context, c store.Client) error {
	metadata, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	err = db.inTx(ctx, func(tx tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE grants SET revoked = 1 WHERE client_id IN
			(SELECT id FROM clients WHERE id = ? AND (metadata ->> '$.AuthMethod' <> ? OR metadata ->> '$.Name' <> ?))`, c.ID, c.AuthMethod, c.Name)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, "UPDATE clients SET metadata = ?, secret_hash = ? WHERE id = ?", string(metadata), c.SecretHash[:], c.ID)
		if err != nil {
			return translate(err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, store.ErrNotFound)
		}
		return nil
	})
	return db.announce(err, revocation.Client, c.ID) // also when nothing ended: what it may do can have changed
}

// KeepClient notes that a user approved a client, and keeps it at least until
// a time. It returns ErrNotFound when the client is gone.
func (db *DB) KeepClient(ctx context.Context, id string, until time.Time) error {
	return db.exec(ctx, `INSERT INTO registrations (client_id, token_hash, used, keep_until) SELECT id, x'', 1, ? FROM clients WHERE id = ?
		ON CONFLICT (client_id) DO UPDATE SET used = 1, keep_until = MAX(keep_until, excluded.keep_until)`, millis(until), id)
}

// DeleteClient removes a client and ends all that it was granted, all or
// nothing.
func (db *DB) DeleteClient(ctx context.Context, id string) error {
	err := db.inTx(ctx, func(tx tx) error {
		for _, q := range []string{
			"UPDATE grants SET revoked = 1 WHERE client_id = ?",
			"DELETE FROM devices WHERE client_id = ?",
			"DELETE FROM consents WHERE client_id = ?",
			"DELETE FROM clients WHERE id = ?",
			"DELETE FROM suspended_clients WHERE client_id = ?", // in no list could it be seen that it is
		} {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return err
			}
		}
		return nil
	})
	return db.announce(err, revocation.Client, id)
}

// inTx runs f in one transaction.
func (db *DB) inTx(ctx context.Context, f func(tx) error) error {
	return db.write.Transact(ctx, func(tx tx) error { return translate(f(tx)) })
}
