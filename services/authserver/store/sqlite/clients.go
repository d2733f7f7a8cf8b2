package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"demo.example/services/authserver/store"
)

// SaveClient stores a client. A metadata document that changed replaces what
// was known of the same client; nothing else is ever replaced by it.
func (db *DB) SaveClient(ctx context.Context, c store.Client) error {
	metadata, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("client %s: %w", c.ID, err)
	}
	return db.exec(ctx, `INSERT INTO clients (id, registration, secret_hash, metadata, created_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET metadata = excluded.metadata
		WHERE registration = 'cimd' AND excluded.registration = 'cimd'`,
		c.ID, c.Registration, c.SecretHash[:], string(metadata), millis(c.CreatedAt))
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
