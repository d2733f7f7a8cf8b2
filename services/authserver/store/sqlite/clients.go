package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/revocation"
)

// SaveClient stores a client. A metadata document that changed replaces what
// was known of the same client, which counts for the tokens that it has. Nothing
// else is replaced: ErrExists.
func (db *DB) SaveClient(ctx context.Context, c store.Client) error {
	metadata, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	var changed bool
	err = db.inTx(ctx, func(tx tx) error {
		changed = false
		err := tx.QueryRowContext(ctx, "SELECT json_remove(metadata, '$.CreatedAt') <> json_remove(?, '$.CreatedAt') FROM clients WHERE id = ?",
			string(metadata), c.ID).Scan(&changed)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO clients (id, registration, secret_hash, metadata, created_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET
		metadata = CASE WHEN excluded.created_at >= created_at THEN excluded.metadata ELSE metadata END,
		created_at = MAX(created_at, excluded.created_at)
		WHERE registration = 'cimd' AND excluded.registration = 'cimd'`,
			c.ID, c.Registration, c.SecretHash[:], string(metadata), millis(c.CreatedAt))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, store.ErrExists) // the one that is there is of another kind
		}
		return nil
	})
	if changed {
		return db.announce(err, revocation.Client, c.ID)
	}
	return err
}

const clientColumns = "id, metadata, secret_hash"

// Client returns the client with an id.
func (db *DB) Client(ctx context.Context, id string) (store.Client, error) {
	return scanClient(db.read.QueryRowContext(ctx, "SELECT "+clientColumns+" FROM clients WHERE id = ?", id))
}

// ClientsByID returns those clients that there are of some ids, in no order.
func (db *DB) ClientsByID(ctx context.Context, ids []string) ([]store.Client, error) {
	return list(ctx, db, func(rows *sql.Rows) (store.Client, error) { return scanClient(rows) },
		"SELECT "+clientColumns+" FROM clients WHERE id IN "+anyOf, arrayOf(ids))
}

func scanClient(row interface{ Scan(...any) error }) (store.Client, error) {
	var c store.Client
	var id, metadata string
	var secret []byte
	if err := row.Scan(&id, &metadata, &secret); err != nil {
		return c, translate(err)
	}
	if err := json.Unmarshal([]byte(metadata), &c); err != nil {
		return c, fmt.Errorf("client %s: %w", id, err)
	}
	copy(c.SecretHash[:], secret)
	return c, nil
}
