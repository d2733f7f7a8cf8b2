package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"demo.example/services/internal/audit"
)

// Report is what a check of the trail found out.
type Report struct {
	Events int64
	First  int64 // its number; what was before it has been removed for its age
	Head   Link
}

// Verify checks every link of the trail in a file, while a server may write to
// it. The error names the first place at which the trail is not what was
// written.
//
// expect is a link that was logged, and has to be there still, unless it was
// removed for its age; empty for none.
func Verify(ctx context.Context, cfg Config, expect string) (Report, error) {
	t, err := open(ctx, cfg)
	if err != nil {
		return Report{}, fmt.Errorf("open %s: %w", cfg.File, err)
	}
	defer t.close()
	tx, err := t.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one moment of a trail that grows
	if err != nil {
		return Report{}, err
	}
	defer func() { _ = tx.Rollback() }() // it only read
	before := Link{MAC: make([]byte, sha256.Size)}
	var seal []byte
	err = tx.QueryRowContext(ctx, "SELECT seq, mac, seal FROM beginning").Scan(&before.Seq, &before.MAC, &seal)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return Report{}, err
	case !hmac.Equal(seal, t.seal(before)):
		return Report{}, fmt.Errorf("the beginning, after event %d, is not one that the server noted: events before it were removed, or the key is another", before.Seq)
	}
	report := Report{First: before.Seq + 1, Head: before}
	var wanted int64
	if expect != "" {
		if _, err := fmt.Sscanf(expect, "%d:", &wanted); err != nil {
			return report, fmt.Errorf("%q is not a head as the server logs it, such as 17:8a0c…", expect)
		}
	}
	found := wanted <= before.Seq
	rows, err := tx.QueryContext(ctx, "SELECT seq, mac, event, "+columns+" FROM events ORDER BY seq")
	if err != nil {
		return report, err
	}
	defer rows.Close()
	for rows.Next() {
		var l Link
		var event string
		repeated := make([]any, len(values(audit.Event{})))
		into := []any{&l.Seq, &l.MAC, &event}
		for i := range repeated {
			into = append(into, &repeated[i])
		}
		if err := rows.Scan(into...); err != nil {
			return report, err
		}
		switch {
		case l.Seq != report.Head.Seq+1:
			return report, fmt.Errorf("events %d to %d are missing", report.Head.Seq+1, l.Seq-1)
		case !hmac.Equal(l.MAC, t.link(report.Head, []byte(event))) || !repeats(repeated, event):
			return report, fmt.Errorf("event %d was altered, or the one before it was replaced", l.Seq)
		}
		report.Head = l
		report.Events++
		found = found || l.String() == expect
	}
	if err := rows.Err(); err != nil {
		return report, err
	}
	if !found {
		return report, fmt.Errorf("the expected head %s is not in the trail, which ends with %s: its end was cut off, or it is another trail", expect, report.Head)
	}
	return report, nil
}
