// Package sqlite keeps the authorization server's state in one SQLite file.
//
// Every write is committed before it is answered (writer.go): a process that is
// killed loses nothing that a client was told. (The write-ahead log is synced at
// checkpoints only, so a power cut may lose the last moments; set
// synchronous=FULL where that matters.)
package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/dbfile"
	"demo.example/services/internal/revocation"
)

//go:embed schema.sql
var schema string

// checkpoint is after how many pages the write-ahead log is copied into the
// file, while whoever writes waits. It is rarer than SQLite would do it, 1,000,
// since most pages are written again before long; the log takes 32 MB for it.
const checkpoint = "wal_autocheckpoint(8000)"

// mapped is how much of the file each reading connection maps, in bytes: a page
// that is read from a mapping takes no system call. It bounds the resident
// memory, of which these pages are most when there are a million tokens.
const mapped = "mmap_size(268435456)"

// DB implements every store of the authorization server.
type DB struct {
	write *writer // one connection: SQLite has one writer, so they queue here instead of failing
	read  *dbfile.Pool

	revoked func(revocation.Event) // announce.go
}

// Open opens or creates the database file. The caller closes it.
func Open(ctx context.Context, file string) (*DB, error) {
	const keys, sync = "foreign_keys(1)", "synchronous(NORMAL)"
	write, err := dbfile.Open(file, 1, keys, sync, checkpoint)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	if err := dbfile.CreateTables(ctx, write, schema, schemaVersion); err != nil {
		write.Close()
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	read, err := dbfile.Open(file, 2, keys, sync, "query_only(1)", mapped)
	if err != nil {
		write.Close()
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	w, err := newWriter(ctx, write)
	if err != nil {
		write.Close()
		read.Close()
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	return &DB{write: w, read: dbfile.NewPool(read)}, nil
}

// schemaVersion is of schema.sql.
const schemaVersion = 2

// Close closes the database.
func (db *DB) Close() error { return errors.Join(db.read.Close(), db.write.Close()) }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.read.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// exec runs a statement that must change exactly one row.
func (db *DB) exec(ctx context.Context, query string, args ...any) error {
	res, err := db.write.ExecContext(ctx, query, args...)
	if err != nil {
		return translate(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, store.ErrNotFound)
	}
	return nil
}

// translate maps the driver's errors to the ones callers tell apart.
func translate(err error) error {
	var e *sqlite.Error
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrNotFound
	case errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE):
		return store.ErrExists
	}
	return err
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
