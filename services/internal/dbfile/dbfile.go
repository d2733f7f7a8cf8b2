// Package dbfile opens the SQLite files in which services keep their state.
package dbfile

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"

	_ "modernc.org/sqlite" // the driver
)

// Open returns a pool of up to conns connections to a file, which is created
// when missing. Each of them waits up to 5 s for another that writes, and a
// transaction takes its place among the writers when it begins, so that it
// cannot fail half way. Readers and the writer do not wait for each other. More
// pragmas can be set: how soon a write is on the disk (synchronous) is one that
// every caller decides. The file is opened when it is first used.
func Open(file string, conns int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(5000)", "journal_mode(WAL)"}, pragmas...), "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(file), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// CreateTables creates the tables of a new file, and refuses a file of another
// version: half of what it holds would be misunderstood. The version is to be
// counted up whenever the schema changes in a way that a file which exists
// already does not follow.
func CreateTables(ctx context.Context, db *sql.DB, schema string, version int) error {
	var found, tables int
	err := db.QueryRowContext(ctx, "SELECT user_version, (SELECT COUNT(*) FROM sqlite_schema) FROM pragma_user_version").Scan(&found, &tables)
	if err != nil {
		return err
	}
	if tables > 0 && found == version {
		return nil
	}
	if tables > 0 {
		return fmt.Errorf("it has schema %d and this program needs %d; run the program that made it, or remove it (make clean) and begin anew", found, version)
	}
	_, err = db.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA user_version = %d;", version))
	return err
}
