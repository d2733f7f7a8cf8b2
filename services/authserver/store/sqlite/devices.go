package sqlite

import (
	"context"
	"time"

	"demo.example/services/authserver/store"
)

// AddDevice stores a device that waits, unless maxClient of the same client
// wait already, or maxIP of the same client from the same address: then it
// returns ErrNotFound. Counting and adding are one statement, so a burst
// cannot slip through. ErrExists says that the user code is taken.
func (db *DB) AddDevice(ctx context.Context, d store.Device, maxClient, maxIP int, now time.Time) error {
	return db.exec(ctx, `INSERT INTO devices (id, hash, user_code, client_id, ip, scope, resource, interval, expires_at)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? FROM
			(SELECT COUNT(*) AS client, COALESCE(SUM(ip = ?), 0) AS address FROM devices
			WHERE client_id = ? AND expires_at > ? AND status = 'pending')
		WHERE client < ? AND address < ?`,
		d.ID, d.Hash[:], d.UserCode[:], d.ClientID, d.IP, d.Scope, d.Resource, d.Interval.Milliseconds(), millis(d.ExpiresAt),
		d.IP, d.ClientID, millis(now), maxClient, maxIP)
}

const deviceColumns = "id, hash, user_code, client_id, ip, scope, resource, status, grant_id, interval, polled_at, expires_at"

func scanDevice(row interface{ Scan(...any) error }) (store.Device, error) {
	var d store.Device
	var hash, user []byte
	var interval, polled, expires int64
	err := row.Scan(&d.ID, &hash, &user, &d.ClientID, &d.IP, &d.Scope, &d.Resource, &d.Status, &d.GrantID, &interval, &polled, &expires)
	copy(d.Hash[:], hash)
	copy(d.UserCode[:], user)
	d.Interval, d.PolledAt, d.ExpiresAt = time.Duration(interval)*time.Millisecond, fromMillis(polled), fromMillis(expires)
	return d, translate(err)
}

// DeviceByUserCode returns the device that shows a code and still waits.
func (db *DB) DeviceByUserCode(ctx context.Context, code store.Hash, now time.Time) (store.Device, error) {
	return scanDevice(db.read.QueryRowContext(ctx, "SELECT "+deviceColumns+
		" FROM devices WHERE user_code = ? AND status = 'pending' AND expires_at > ?", code[:], millis(now)))
}

// WaitingDevices counts those that wait for a user.
func (db *DB) WaitingDevices(ctx context.Context, now time.Time) (n int, err error) {
	err = db.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM devices WHERE expires_at > ? AND status = 'pending'", millis(now)).Scan(&n)
	return n, err
}

// PollDevice returns the device of a client as it was before this call, and
// notes the call where the device still waits: the time, and the interval that
// next makes of it. Calls in parallel come one after the other.
func (db *DB) PollDevice(ctx context.Context, hash store.Hash, clientID string, now time.Time, next func(store.Device) time.Duration) (store.Device, error) {
	var d store.Device
	err := db.write.Transact(ctx, func(tx tx) (err error) {
		d, err = scanDevice(tx.QueryRowContext(ctx, "SELECT "+deviceColumns+" FROM devices WHERE hash = ? AND client_id = ?", hash[:], clientID))
		if err != nil || d.Status != store.DevicePending || !now.Before(d.ExpiresAt) {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE devices SET interval = ?, polled_at = ? WHERE id = ?", next(d).Milliseconds(), millis(now), d.ID)
		return err
	})
	return d, err
}

// ApproveDevice stores the grant that a user gave a device, both or neither.
// It returns ErrNotFound when the device does not wait any more, or the user is
// not approved any more.
func (db *DB) ApproveDevice(ctx context.Context, id string, g store.Grant, now time.Time) error {
	return db.write.Transact(ctx, func(tx tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE devices SET status = 'approved', grant_id = ? WHERE id = ? AND status = 'pending' AND expires_at > ?", g.ID, id, millis(now))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return store.ErrNotFound
		}
		return insertGrant(ctx, tx, g)
	})
}

// DenyDevice notes that the user declined, or returns ErrNotFound when the
// device does not wait any more.
func (db *DB) DenyDevice(ctx context.Context, id string) error {
	return db.exec(ctx, "UPDATE devices SET status = 'denied' WHERE id = ? AND status = 'pending'", id)
}

// TakeDevice marks an approved device as redeemed and returns its grant, or
// ErrNotFound: of any number of callers one succeeds.
func (db *DB) TakeDevice(ctx context.Context, id string) (store.Grant, error) {
	if err := db.exec(ctx, "UPDATE devices SET status = 'redeemed' WHERE id = ? AND status = 'approved'", id); err != nil {
		return store.Grant{}, err
	}
	var g grantRow
	err := db.read.QueryRowContext(ctx, "SELECT "+grantColumns+" FROM devices JOIN grants ON grants.id = grant_id WHERE devices.id = ?", id).Scan(g.fields()...)
	return g.grant(), translate(err)
}
