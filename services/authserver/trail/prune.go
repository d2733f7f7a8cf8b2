package trail

import (
	"context"
	"database/sql"
	"time"
)

// Run logs the end of the chain and removes what is old, until ctx ends.
func (t *Trail) Run(ctx context.Context) {
	var logged int64
	tick := time.NewTicker(min(headEvery, pruneEvery))
	defer tick.Stop()
	for {
		if err := t.Prune(ctx); err != nil && ctx.Err() == nil {
			t.cfg.Log.Error("old audit events not removed", "error", err.Error())
		}
		if head := t.Head(); head.Seq != logged {
			t.cfg.Log.Info("audit trail", "head", head.String())
			logged = head.Seq
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Head returns the end of the chain.
func (t *Trail) Head() Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head
}

// pruneBatch is how many events are removed at a time, while others wait to be
// written.
const pruneBatch = 1000

// Prune removes events that are too old or too many, and notes where the trail
// begins now. It removes what it finds to be as it was written: a trail that
// was altered is kept as evidence, and the error says where.
func (t *Trail) Prune(ctx context.Context) error {
	var early int64
	for {
		n, more, err := t.prune(ctx)
		if early += n; err != nil || !more {
			if early > 0 {
				t.cfg.Log.Warn("audit events removed before their time: there are more than AUDIT_MAX_EVENTS", "events", early)
			}
			return err
		}
	}
}

// prune removes one batch. It returns how many of it were not old, and whether
// there is more to remove.
func (t *Trail) prune(ctx context.Context) (early int64, more bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = tx.Rollback() }() // of no use after Commit
	before, err := t.beginning(ctx, tx)
	if err != nil {
		return 0, false, err
	}
	// Time of arrival is not the time of the event: of the rows before the
	// first that is young enough, none is.
	var old sql.NullInt64
	err = tx.QueryRowContext(ctx, "SELECT MIN(seq) - 1 FROM events WHERE at >= ?", t.cfg.Now().Add(-t.cfg.Retention).UnixMilli()).Scan(&old)
	if err != nil {
		return 0, false, err
	}
	if !old.Valid { // all are old
		old.Int64 = t.head.Seq
	}
	upTo := max(old.Int64, t.head.Seq-int64(t.cfg.MaxEvents))
	if upTo <= before.Seq {
		return 0, false, nil // nothing to remove
	}
	last, err := t.walk(ctx, tx, before, min(upTo-before.Seq, pruneBatch), func(Link) {})
	if err != nil || last.Seq == before.Seq {
		return 0, false, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM events WHERE seq <= ?", last.Seq)
	if err == nil {
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO beginning (one, seq, mac, seal) VALUES (1, ?, ?, ?)", last.Seq, last.MAC, t.seal(last))
	}
	if err != nil {
		return 0, false, err // and nothing is removed: without its beginning the trail would not look whole
	}
	return max(0, last.Seq-max(old.Int64, before.Seq)), last.Seq < upTo, tx.Commit()
}
