package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"demo.example/services/authserver/store"
)

// together makes the calls share one transaction: they queue while another
// write is held up. It returns their errors.
func together(t *testing.T, db *DB, calls ...func() error) []error {
	t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	errs := make([]error, len(calls))
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.write.Transact(context.Background(), func(tx) error { close(held); <-release; return nil })
		if err != nil {
			t.Errorf("the write before: %v", err)
		}
	})
	<-held
	for i, call := range calls {
		wg.Go(func() { errs[i] = call() })
		for { // in this order
			db.write.mu.Lock()
			n := len(db.write.queue)
			db.write.mu.Unlock()
			if n == i+1 {
				break
			}
		}
	}
	close(release)
	wg.Wait()
	return errs
}

func person(name string) store.User {
	return store.User{ID: name, Email: name + "@demo.example", Region: "USA", Role: "user", Status: store.UserApproved}
}

func add(t *testing.T, db *DB, name string) func() error {
	return func() error { return db.AddUser(t.Context(), person(name)) }
}

// are checks who is there, in a second connection: committed, that is.
func are(t *testing.T, db *DB, want map[string]bool) {
	t.Helper()
	for name, there := range want {
		if _, err := db.User(t.Context(), name); (err == nil) != there {
			t.Errorf("%s: got error %v, want to be there: %t", name, err, there)
		}
	}
}

// TestGroup: writes that share a transaction fail alone, each caller is told
// its own outcome, and what failed half-way is undone.
func TestGroup(t *testing.T) {
	db := openFile(t, filepath.Join(t.TempDir(), "db"))
	if err := add(t, db, "known")(); err != nil {
		t.Fatal(err)
	}
	hungUp, cancel := context.WithCancel(t.Context())
	cancel()
	own := errors.New("changed its mind")
	both := func(first, second string, last error) func() error {
		return func() error {
			return db.write.Transact(t.Context(), func(tx tx) error {
				for _, name := range []string{first, second} {
					_, err := tx.ExecContext(t.Context(), "INSERT INTO users VALUES (?, ?, '', '', '')", name, name)
					if err != nil {
						return translate(err)
					}
				}
				return last
			})
		}
	}
	errs := together(t, db,
		add(t, db, "first"),
		add(t, db, "known"),
		both("half", "known", nil),
		both("regrets", "it", own),
		func() error { return db.SetUserStatus(t.Context(), "nobody", "") },
		func() error { return db.AddUser(hungUp, person("hung up")) },
		both("two", "at once", nil),
		add(t, db, "last"),
	)
	for i, want := range []error{nil, store.ErrExists, store.ErrExists, own, store.ErrNotFound, context.Canceled, nil, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("write %d: got error %v, want %v", i, errs[i], want)
		}
	}
	are(t, db, map[string]bool{
		"first": true, "half": false, "regrets": false, "it": false, "hung up": false, "two": true, "at once": true, "last": true,
	})
}

// TestGroupIsSpoilt: a write after which SQLite gives the whole transaction up
// costs its neighbours another try, and nothing else.
func TestGroupIsSpoilt(t *testing.T) {
	db := openFile(t, filepath.Join(t.TempDir(), "db"))
	if err := add(t, db, "warm-up")(); err != nil {
		t.Fatal(err)
	}
	if err := db.write.do("PRAGMA max_page_count = 60"); err != nil {
		t.Fatal(err)
	}
	huge := person("huge")
	huge.Region = strings.Repeat("x", 1<<20)
	errs := together(t, db, add(t, db, "first"), func() error { return db.AddUser(t.Context(), huge) }, add(t, db, "last"))
	var full *sqlite.Error
	if errs[0] != nil || !errors.As(errs[1], &full) || full.Code() != sqlite3.SQLITE_FULL || errs[2] != nil {
		t.Errorf("got errors %v, want a full disk for the second alone", errs)
	}
	are(t, db, map[string]bool{"first": true, "huge": false, "last": true})
}

// TestGroupPanics: a panic stays with its caller, and others are answered.
func TestGroupPanics(t *testing.T) {
	db := openFile(t, filepath.Join(t.TempDir(), "db"))
	errs := together(t, db, add(t, db, "first"), func() (err error) {
		defer func() { err = fmt.Errorf("%v", recover()) }()
		return db.write.Transact(t.Context(), func(tx) error { panic("boom") })
	}, add(t, db, "last"))
	if errs[0] != nil || errs[1] == nil || errs[1].Error() != "boom" || errs[2] != nil {
		t.Errorf("got %v, want boom for the second alone", errs)
	}
	are(t, db, map[string]bool{"first": true, "last": true})
}

// TestAnsweredIsCommitted: whoever was answered finds their write through
// another connection, at once.
func TestAnsweredIsCommitted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db")
	db, other := openFile(t, file), openFile(t, file)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			name := fmt.Sprint("user-", i/2) // two want each: one gets it
			err := add(t, db, name)()
			if err != nil && !errors.Is(err, store.ErrExists) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := other.User(t.Context(), name); err != nil {
				t.Errorf("%s was answered and is not there: %v", name, err)
			}
		})
	}
	wg.Wait()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := add(t, db, "late")(); err == nil {
		t.Error("a write after the end succeeded")
	}
}
