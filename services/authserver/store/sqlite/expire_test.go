package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"demo.example/services/authserver/store"
)

// TestExpireInBatches: more than fits one batch goes, and what fails does not
// keep the rest.
func TestExpireInBatches(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	db, err := Open(ctx, filepath.Join(t.TempDir(), "authserver.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.write.Transact(ctx, func(tx tx) error {
		for i := range 2*expireBatch + 1 {
			hash := store.HashOf(fmt.Sprint(i))
			if _, err := tx.ExecContext(ctx, "INSERT INTO assertions (hash, expires_at) VALUES (?, ?)", hash[:], millis(now)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DROP TABLE requests") // which comes first
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Expire(ctx, now); err == nil || !strings.Contains(err.Error(), "expire requests: ") || strings.Contains(err.Error(), "assertions") {
		t.Errorf("Expire: %v", err)
	}
	var left int
	if err := db.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM assertions").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d assertions are left, %v", left, err)
	}
}

// TestNoScans: what is done for every request does not look at a whole table,
// and neither do the lists of the administration, whichever page is shown.
func TestNoScans(t *testing.T) {
	ctx := t.Context()
	db, err := Open(ctx, filepath.Join(t.TempDir(), "authserver.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	queries := map[string]string{"Token": liveQuery + "hash = ?", "TokenByID": liveQuery + "tokens.id = ?", "LogPasscode": countPasscodes}
	for _, e := range expirings {
		queries["Expire "+e.table] = "SELECT 1 FROM " + e.table + " WHERE " + e.after
	}
	queries["Users"], queries["ClientOverviews"] = usersQuery, clientOverviewsQuery
	queries["LiveGrants of a user"] = liveGrantsQuery("user", "", "before")
	queries["LiveGrants of a client"] = liveGrantsQuery("", "client", "")
	for name, query := range queries {
		args := []any{0}
		switch {
		case query == countPasscodes, query == usersQuery, query == clientOverviewsQuery:
			args = []any{"", "", 0}
		case strings.HasPrefix(name, "LiveGrants"):
			args = []any{0, "", "", "", 0}
		}
		for _, step := range plan(ctx, t, db, query, args...) {
			if strings.HasPrefix(step, "SCAN") && step != "SCAN CONSTANT ROW" {
				t.Errorf("%s: %s", name, step)
			}
		}
	}
}

// TestLiveGrantsInOrder: the list of all grants is read in its order, so that a
// page of it costs the same however many there are.
func TestLiveGrantsInOrder(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "authserver.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, before := range []string{"", "grant"} {
		steps := plan(t.Context(), t, db, liveGrantsQuery("", "", before), 0, "", "", before, 0)
		if slices.Contains(steps, "USE TEMP B-TREE FOR ORDER BY") {
			t.Errorf("before %q: %q", before, steps)
		}
	}
}

// plan returns how SQLite would run a query, step by step.
func plan(ctx context.Context, t *testing.T, db *DB, query string, args ...any) (steps []string) {
	t.Helper()
	rows, err := db.read.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}
