package trail

import (
	"context"
	"database/sql"
	"fmt"
	"math"
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
	before, err := t.beginning(ctx, tx)
	if err != nil {
		return Report{}, err
	}
	report := Report{First: before.Seq + 1, Head: before}
	var wanted int64
	if expect != "" {
		if _, err := fmt.Sscanf(expect, "%d:", &wanted); err != nil {
			return report, fmt.Errorf("%q is not a head as the server logs it, such as 17:8a0c…", expect)
		}
	}
	found := wanted <= before.Seq
	report.Head, err = t.walk(ctx, tx, before, math.MaxInt64, func(l Link) {
		report.Events++
		found = found || l.String() == expect
	})
	if err != nil {
		return report, err
	}
	if !found {
		return report, fmt.Errorf("the expected head %s is not in the trail, which ends with %s: its end was cut off, or it is another trail", expect, report.Head)
	}
	return report, nil
}
