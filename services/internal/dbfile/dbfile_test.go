package dbfile

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, file string, pragmas ...string) *sql.DB {
	t.Helper()
	db, err := Open(file, 1, pragmas...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestCreateTables: a file is used again by the version that made it, and by no
// other.
func TestCreateTables(t *testing.T) {
	const schema = "CREATE TABLE IF NOT EXISTS things (id TEXT);"
	file := filepath.Join(t.TempDir(), "a name with 100% of ?what=is&special#.db")
	for _, tt := range []struct {
		version int
		want    string
	}{{1, ""}, {1, ""}, {2, "has schema 1 and this program needs 2"}, {1, ""}} {
		err := CreateTables(t.Context(), open(t, file), schema, tt.version)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("version %d: %v, want %q", tt.version, err, tt.want)
		}
	}
	foreign := open(t, filepath.Join(t.TempDir(), "foreign.db"))
	if _, err := foreign.ExecContext(t.Context(), "CREATE TABLE theirs (id TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := CreateTables(t.Context(), foreign, schema, 1); err == nil {
		t.Error("a file of something else was taken")
	}
}

// TestWritersQueue: a transaction that begins while another writes waits for it
// instead of failing, and nobody reads what is not committed.
func TestWritersQueue(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	first, second := open(t, file), open(t, file, "synchronous(NORMAL)")
	if err := CreateTables(t.Context(), first, "CREATE TABLE counter (n INTEGER); INSERT INTO counter VALUES (0);", 1); err != nil {
		t.Fatal(err)
	}
	count := func(db *sql.DB) error {
		tx, err := db.BeginTx(context.Background(), nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // of no use after Commit
		var n int
		if err := tx.QueryRowContext(context.Background(), "SELECT n FROM counter").Scan(&n); err != nil {
			return err
		}
		time.Sleep(time.Millisecond) // as long as somebody else needs to come in between
		if _, err := tx.ExecContext(context.Background(), "UPDATE counter SET n = ?", n+1); err != nil {
			return err
		}
		return tx.Commit()
	}
	done := make(chan error)
	for _, db := range []*sql.DB{first, second} {
		go func() {
			for range 20 {
				if err := count(db); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	var n int
	if err := first.QueryRowContext(t.Context(), "SELECT n FROM counter").Scan(&n); err != nil || n != 40 {
		t.Errorf("%d, %v", n, err)
	}
}
