package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// expireBatch is how many rows go in one transaction. Whoever writes meanwhile
// waits for so many and not for all that an hour left behind.
const expireBatch = 500

// deviceMemory is how long a device code is remembered after it expired, so
// that a client that polls on is told what happened to it.
const deviceMemory = time.Hour

// expiring says what of a table can never be used again.
type expiring struct {
	table, key string
	after      string        // a condition on one argument: the time
	memory     time.Duration // for how much longer it is kept
}

// Grants go with all that hangs on them; a used code or a rotated token stays
// until its grant has expired, so that presenting it again is still noticed.
var expirings = []expiring{
	{"requests", "id", "expires_at <= ?", 0},
	{"pushed_requests", "hash", "expires_at <= ?", 0},
	{"sessions", "id", "expires_at <= ?", 0},
	{"admin_sessions", "id", "expires_at <= ?", 0},
	{"tokens", "hash", "kind = 'access' AND expires_at <= ?", 0},
	{"grants", "id", "expires_at <= ?", 0},
	{"assertions", "hash", "expires_at <= ?", 0},
	{"devices", "id", "expires_at <= ?", deviceMemory},
	{"approvals", "id", "expires_at <= ?", approvalMemory},
	{"passcode_log", "rowid", "sent_at <= ?", time.Hour},
}

// Expire removes what can never be used again, in batches. What fails does not
// keep the rest from going; the error has all that failed.
func (db *DB) Expire(ctx context.Context, now time.Time) error {
	var failed []error
	for _, e := range expirings {
		q := fmt.Sprintf("DELETE FROM %s WHERE %s IN (SELECT %[2]s FROM %[1]s WHERE %[3]s LIMIT %[4]d)", e.table, e.key, e.after, expireBatch)
		failed = append(failed, inBatches(e.table, func() (int64, error) {
			res, err := db.write.ExecContext(ctx, q, millis(now.Add(-e.memory)))
			if err != nil {
				return 0, err
			}
			return res.RowsAffected()
		}))
	}
	failed = append(failed, inBatches("clients", func() (int64, error) { return db.expireClients(ctx, now) }))
	return errors.Join(failed...)
}

// inBatches calls remove, which returns how many rows it removed, until there
// are no more.
func inBatches(table string, remove func() (int64, error)) error {
	for {
		n, err := remove()
		if err != nil {
			return fmt.Errorf("expire %s: %w", table, err)
		}
		if n < expireBatch {
			return nil
		}
	}
}

// expireClients removes a batch of the clients that nobody uses. They have no
// grant any more: keep_until is later than the end of every one.
func (db *DB) expireClients(ctx context.Context, now time.Time) (removed int64, err error) {
	err = db.inTx(ctx, func(tx tx) error {
		const expired = "(SELECT client_id FROM registrations WHERE used IN (0, 1) AND keep_until <= ? AND client_id NOT IN (SELECT client_id FROM suspended_clients) ORDER BY keep_until, client_id LIMIT ?)"
		if _, err := tx.ExecContext(ctx, "DELETE FROM consents WHERE client_id IN "+expired, millis(now), expireBatch); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, "DELETE FROM clients WHERE id IN "+expired, millis(now), expireBatch)
		if err != nil {
			return err
		}
		removed, err = res.RowsAffected()
		return err
	})
	return removed, err
}
