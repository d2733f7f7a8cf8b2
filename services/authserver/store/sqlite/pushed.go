package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"demo.example/services/authserver/store"
)

// AddPushedRequest keeps an authorization request until r.ExpiresAt, under the
// hash of the secret in the request URI that its client was given.
func (db *DB) AddPushedRequest(ctx context.Context, hash store.Hash, r store.Request) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("pushed authorization request: %w", err)
	}
	return db.exec(ctx, "INSERT INTO pushed_requests (hash, client_id, data, expires_at) VALUES (?, ?, ?, ?)",
		hash[:], r.ClientID, string(data), millis(r.ExpiresAt))
}

// TakePushedRequest returns a pushed request of a client and deletes it in one
// step: of any number of callers one gets it. Another client's attempt leaves
// it as it is.
func (db *DB) TakePushedRequest(ctx context.Context, hash store.Hash, clientID string, now time.Time) (store.Request, error) {
	var r store.Request
	var data string
	err := db.write.QueryRowContext(ctx,
		"DELETE FROM pushed_requests WHERE hash = ? AND client_id = ? AND expires_at > ? RETURNING data",
		hash[:], clientID, millis(now)).Scan(&data)
	if err != nil {
		return r, translate(err)
	}
	if err := json.Unmarshal([]byte(data), &r); err != nil {
		return r, fmt.Errorf("pushed authorization request: %w", err)
	}
	return r, nil
}
