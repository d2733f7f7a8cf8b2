package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"demo.example/services/stocksapi/store/sqlite"
	"demo.example/services/stocksapi/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (storetest.Store, func() storetest.Store) {
		file := filepath.Join(t.TempDir(), "orders ?%.db") // letters that mean something in a URL
		open := func() *sqlite.DB {
			db, err := sqlite.Open(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			return db
		}
		first := open()
		return first, func() storetest.Store {
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			return open()
		}
	})
}

// TestTwoProcesses: while one file is opened twice, as at a restart in a
// hurry, an approval is still good for one order.
func TestTwoProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "orders.db")
	var two [2]*sqlite.DB
	for i := range two {
		db, err := sqlite.Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		two[i] = db
	}
	storetest.Once(t, two[0], two[1])
}

func TestAnotherSchema(t *testing.T) {
	file := filepath.Join(t.TempDir(), "orders.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(context.Background(), "CREATE TABLE orders (id TEXT); PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), file); err == nil || !strings.Contains(err.Error(), "schema 99") {
		t.Errorf("got %v", err)
	}
}
