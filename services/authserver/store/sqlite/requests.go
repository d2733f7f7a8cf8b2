package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"demo.example/services/authserver/store"
)

// AddRequest stores an authorization request.
func (db *DB) AddRequest(ctx context.Context, r store.Request) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("authorization request: %w", err)
	}
	return db.exec(ctx, "INSERT INTO requests (id, browser, data, user_id, auth_time, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
		r.ID, r.Browser[:], string(data), r.UserID, millis(r.AuthTime), millis(r.ExpiresAt))
}

// Request returns an authorization request of a browser that has not expired.
func (db *DB) Request(ctx context.Context, id string, browser store.Hash, now time.Time) (store.Request, error) {
	return scanRequest(browser, db.read.QueryRowContext(ctx,
		"SELECT data, user_id, auth_time FROM requests WHERE id = ? AND browser = ? AND expires_at > ?",
		id, browser[:], millis(now)))
}

// TakeRequest returns a request and deletes it in one step: of any number of
// callers one gets it.
func (db *DB) TakeRequest(ctx context.Context, id string, browser store.Hash, now time.Time) (store.Request, error) {
	return scanRequest(browser, db.write.QueryRowContext(ctx,
		"DELETE FROM requests WHERE id = ? AND browser = ? AND expires_at > ? RETURNING data, user_id, auth_time",
		id, browser[:], millis(now)))
}

func scanRequest(browser store.Hash, row interface{ Scan(...any) error }) (store.Request, error) {
	var r store.Request
	var data, user string
	var auth int64
	if err := row.Scan(&data, &user, &auth); err != nil {
		return r, translate(err)
	}
	if err := json.Unmarshal([]byte(data), &r); err != nil {
		return r, fmt.Errorf("authorization request: %w", err)
	}
	r.Browser, r.UserID, r.AuthTime = browser, user, fromMillis(auth)
	return r, nil
}

// SignIn notes who signed in for a request.
func (db *DB) SignIn(ctx context.Context, requestID, userID string, authTime time.Time) error {
	return db.exec(ctx, "UPDATE requests SET user_id = ?, auth_time = ? WHERE id = ?", userID, millis(authTime), requestID)
}

// SetPasscode stores the passcode of a request. One that was sent before
// stops working.
func (db *DB) SetPasscode(ctx context.Context, p store.Passcode) error {
	return db.exec(ctx, `INSERT INTO passcodes (request_id, user_id, email, mac, expires_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (request_id) DO UPDATE SET user_id = excluded.user_id, email = excluded.email, mac = excluded.mac,
		attempts = 0, expires_at = excluded.expires_at`,
		p.RequestID, p.UserID, p.Email, p.MAC[:], millis(p.ExpiresAt))
}

// Passcode returns the passcode of a request, expired or not.
func (db *DB) Passcode(ctx context.Context, requestID string) (store.Passcode, error) {
	return scanPasscode(db.read.QueryRowContext(ctx,
		"SELECT request_id, user_id, email, mac, attempts, expires_at FROM passcodes WHERE request_id = ?", requestID))
}

// TryPasscode counts one attempt and returns the passcode to compare with, or
// ErrNotFound when there is none, it expired, or limit attempts were made.
// Counting comes first, so attempts in parallel all count.
func (db *DB) TryPasscode(ctx context.Context, requestID string, limit int, now time.Time) (store.Passcode, error) {
	return scanPasscode(db.write.QueryRowContext(ctx,
		`UPDATE passcodes SET attempts = attempts + 1 WHERE request_id = ? AND attempts < ? AND expires_at > ?
		RETURNING request_id, user_id, email, mac, attempts, expires_at`, requestID, limit, millis(now)))
}

// TakePasscode deletes the passcode that was compared: of any number of
// callers who sent the right one, one succeeds.
func (db *DB) TakePasscode(ctx context.Context, requestID string, mac store.Hash) error {
	return db.exec(ctx, "DELETE FROM passcodes WHERE request_id = ? AND mac = ?", requestID, mac[:])
}

func scanPasscode(row interface{ Scan(...any) error }) (store.Passcode, error) {
	var p store.Passcode
	var mac []byte
	var expires int64
	err := row.Scan(&p.RequestID, &p.UserID, &p.Email, &mac, &p.Attempts, &expires)
	copy(p.MAC[:], mac)
	p.ExpiresAt = fromMillis(expires)
	return p, translate(err)
}

// countPasscodes counts each from an index of its own. What was refused is not
// in the log, so the limits themselves bound how much there is to count.
const countPasscodes = `SELECT
	(SELECT COUNT(*) FROM passcode_log WHERE email = ?1 AND sent_at > ?3),
	(SELECT COUNT(*) FROM passcode_log WHERE ip = ?2 AND sent_at > ?3),
	(SELECT COUNT(*) FROM passcode_log WHERE sent_at > ?3)`

// LogPasscode counts the passcodes asked for since a time, for an address,
// from an IP address and in all, and adds this one when within is content.
// Counting and adding are one transaction, so a burst cannot slip through.
func (db *DB) LogPasscode(ctx context.Context, email, ip string, now, since time.Time, within func(byEmail, byIP, all int) bool) (bool, error) {
	var counted bool
	err := db.write.Transact(ctx, func(tx tx) error {
		counted = false
		var byEmail, byIP, all int
		err := tx.QueryRowContext(ctx, countPasscodes, email, ip, millis(since)).Scan(&byEmail, &byIP, &all)
		if err != nil || !within(byEmail, byIP, all) {
			return err
		}
		counted = true
		_, err = tx.ExecContext(ctx, "INSERT INTO passcode_log (email, ip, sent_at) VALUES (?, ?, ?)", email, ip, millis(now))
		return err
	})
	return counted && err == nil, err
}
