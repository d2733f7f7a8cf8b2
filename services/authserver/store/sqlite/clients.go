package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"demo.example/services/authserver/store"
)

// SaveClient stores a client. A metadata document that changed replaces what
// was known of the same client. Nothing else is replaced: ErrExists.
func (db *DB) SaveClient(ctx context.Context, c store.Client) error {
	metadata, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	err = db.exec(ctx, `INSERT INTO clients (id, registration, secret_hash, metadata, created_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET
		metadata = CASE WHEN excluded.created_at >= created_at THEN excluded.metadata ELSE metadata END,
		created_at = MAX(created_at, excluded.created_at)
		WHERE registration = 'cimd' AND excluded.registration = 'cimd'`,
		c.ID, c.Registration, c.SecretHash[:], string(metadata), millis(c.CreatedAt))
	if errors.Is(err, store.ErrNotFound) {
		return store.ErrExists // no row was changed: the one that is there is of another kind
	}
	return err
}

// Client returns the client with an id.
func (db *DB) Client(ctx context.Context, id string) (store.Client, error) {
	var c store.Client
	var metadata string
	var secret []byte
	err := db.read.QueryRowContext(ctx, "SELECT metadata, secret_hash FROM clients WHERE id = ?", id).Scan(&metadata, &secret)
	if err != nil {
		return c, translate(err)
	}
	if err := json.Unmarshal([]byte(metadata), &c); err != nil {
		return c, fmt.Errorf("client %s: %w", id, err)
	}
	copy(c.SecretHash[:], secret)
	return c, nil
}
