package dbfile

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

// TestPool: queries are prepared once each, not without end, and answered all
// the same; whoever gave up before is told so.
func TestPool(t *testing.T) {
	p := NewPool(open(t, filepath.Join(t.TempDir(), "pool.db")))
	list := func(query string) (n int, err error) {
		rows, err := p.QueryContext(t.Context(), query, 7)
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		var arg int
		for rows.Next() {
			err = errors.Join(err, rows.Scan(&n, &arg))
		}
		return n, errors.Join(err, rows.Err())
	}
	for i := range 2 * maxStatements {
		query := fmt.Sprintf("SELECT %d, ?", i)
		for range 2 {
			var n, arg int
			if err := p.QueryRowContext(t.Context(), query, 7).Scan(&n, &arg); err != nil || n != i || arg != 7 {
				t.Fatalf("one row: %d, %d, %v", n, arg, err)
			}
			if n, err := list(query); err != nil || n != i {
				t.Fatalf("rows: %d, %v", n, err)
			}
		}
	}
	if n := len(p.statements); n != maxStatements {
		t.Errorf("%d statements are kept, want %d", n, maxStatements)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var n int
	if err := p.QueryRowContext(ctx, "SELECT 1").Scan(&n); !errors.Is(err, context.Canceled) {
		t.Errorf("after giving up: %v", err)
	}
	if err := p.QueryRowContext(t.Context(), "SELECT nothing").Scan(&n); err == nil {
		t.Error("a query that cannot be prepared was answered")
	}
}
