package sqlite

import (
	"context"
	"errors"
	"time"

	"demo.example/services/authserver/store"
)

// approvalMemory is how long an approval is kept after it expired, for the
// user to look at.
const approvalMemory = 7 * 24 * time.Hour

const approvalColumns = "approvals.id, grant_id, caller, details, approvals.status, approvals.auth_time, approvals.created_at, decided_at, approvals.expires_at"

type approvalRow struct {
	store.Approval
	auth, created, decided, expires int64
}

func (a *approvalRow) fields() []any {
	return []any{&a.ID, &a.GrantID, &a.Caller, &a.Details, &a.Status, &a.auth, &a.created, &a.decided, &a.expires}
}

func (a *approvalRow) approval() store.Approval {
	a.AuthTime, a.CreatedAt, a.DecidedAt, a.ExpiresAt = fromMillis(a.auth), fromMillis(a.created), fromMillis(a.decided), fromMillis(a.expires)
	return a.Approval
}

// AskApproval stores an approval to be decided about, unless the same caller
// asked the same of the same grant and that one still counts: it is pending,
// or approved and not used, or was declined after declinedSince. Then that one
// is returned, and created is false. ErrFull says that maxPending of the grant
// wait already, ErrNotFound that the grant is gone. Looking and adding are one
// transaction, so that questions in parallel become one.
func (db *DB) AskApproval(ctx context.Context, a store.Approval, maxPending int, declinedSince time.Time) (out store.Approval, created bool, err error) {
	err = db.write.Transact(ctx, func(tx tx) error {
		created = false
		now := millis(a.CreatedAt)
		var same approvalRow
		err := tx.QueryRowContext(ctx, "SELECT "+approvalColumns+` FROM approvals WHERE grant_id = ? AND caller = ? AND details = ?
			AND (status IN ('pending', 'approved') AND expires_at > ? OR status = 'declined' AND decided_at > ?)
			ORDER BY approvals.created_at DESC LIMIT 1`, a.GrantID, a.Caller, a.Details, now, millis(declinedSince)).Scan(same.fields()...)
		if err == nil {
			out = same.approval()
			return nil
		}
		if err = translate(err); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		var pending int
		err = tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM approvals WHERE grant_id = ? AND expires_at > ? AND status = 'pending'", a.GrantID, now).Scan(&pending)
		if err != nil {
			return err
		}
		if pending >= maxPending {
			return store.ErrFull
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO approvals (id, grant_id, caller, details, created_at, expires_at)
			SELECT ?, id, ?, ?, ?, ? FROM grants WHERE id = ? AND revoked = 0`, a.ID, a.Caller, a.Details, now, millis(a.ExpiresAt), a.GrantID)
		if err != nil {
			return translate(err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, store.ErrNotFound)
		}
		out, created = a, true
		out.Status = store.ApprovalPending
		return nil
	})
	return out, created, err
}

// Approval returns an approval with its grant and its user, expired or not.
func (db *DB) Approval(ctx context.Context, id string) (store.LiveApproval, error) {
	var a approvalRow
	var g grantRow
	var u store.User
	err := db.read.QueryRowContext(ctx, "SELECT "+approvalColumns+", "+grantColumns+", "+userColumns+` FROM approvals
		JOIN grants ON grants.id = grant_id JOIN users ON users.id = grants.user_id WHERE approvals.id = ?`, id).
		Scan(append(append(a.fields(), g.fields()...), userFields(&u)...)...)
	return store.LiveApproval{Approval: a.approval(), Grant: g.grant(), User: u}, translate(err)
}

// DecideApproval notes what the user of the grant decided, who had signed in at
// authTime. ErrNotFound says that there is nothing to decide any more: of any
// number of decisions the first one counts.
func (db *DB) DecideApproval(ctx context.Context, id, userID, status string, authTime, now time.Time) error {
	return db.exec(ctx, `UPDATE approvals SET status = ?, auth_time = ?, decided_at = ?
		WHERE id = ? AND status = 'pending' AND expires_at > ?
		AND EXISTS (SELECT 1 FROM grants WHERE grants.id = grant_id AND user_id = ? AND revoked = 0)`,
		status, millis(authTime), millis(now), id, millis(now), userID)
}

// TakeApproval marks an approval as used, or returns ErrNotFound when it is not
// approved, was used before, or is another grant's or caller's: of any number of
// callers one succeeds.
func (db *DB) TakeApproval(ctx context.Context, id, grantID, caller string, now time.Time) error {
	return db.exec(ctx, `UPDATE approvals SET status = 'used' WHERE id = ? AND grant_id = ? AND caller = ? AND status = 'approved' AND expires_at > ?
		AND EXISTS (SELECT 1 FROM grants WHERE grants.id = grant_id AND revoked = 0)`, id, grantID, caller, millis(now))
}
