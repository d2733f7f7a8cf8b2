// Package sqlite keeps orders in one SQLite file. An order is on the disk
// before the client that placed it is answered.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"demo.example/services/internal/dbfile"
	"demo.example/services/stocksapi/store"
)

//go:embed schema.sql
var schema string

// schemaVersion is of schema.sql.
const schemaVersion = 1

// DB is the one connection to the file: orders are few, and a second one would
// only cost memory. Whoever finds it taken waits.
type DB struct{ db *sql.DB }

// Open opens or creates the file. The caller closes it.
func Open(ctx context.Context, file string) (*DB, error) {
	db, err := dbfile.Open(file, 1,
		"synchronous(FULL)", // an order survives a power cut as well
		"cache_size(-512)")  // kB
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	if err := dbfile.CreateTables(ctx, db, schema, schemaVersion); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	return &DB{db}, nil
}

// Close closes the file.
func (d *DB) Close() error { return d.db.Close() }

// columns of an order, as scan reads them.
const columns = "id, COALESCE(once, ''), user_id, client_id, grant_id, approval, symbol, side, quantity, limit_price, executed_price, currency, created_at"

// Place returns the order that was placed under once, or else stores the one
// that execute returns and reports that it is new. Of several at the same time
// one executes, and the others get its order. An empty once always executes.
//
// The error of execute comes back as it is, and then nothing is stored.
// execute must not use the store.
func (d *DB) Place(ctx context.Context, once string, execute func() (store.Order, error)) (order store.Order, isNew bool, err error) {
	tx, err := d.db.BeginTx(ctx, nil) // immediate: nobody else writes from here on
	if err != nil {
		return store.Order{}, false, fmt.Errorf("place order: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if once != "" {
		order, err = scan(tx.QueryRowContext(ctx, "SELECT "+columns+" FROM orders WHERE once = ?", once))
		if !errors.Is(err, store.ErrNotFound) {
			return order, false, err
		}
	}
	if order, err = execute(); err != nil {
		return store.Order{}, false, err
	}
	order.Once = once
	_, err = tx.ExecContext(ctx, `INSERT INTO orders
		(id, once, user_id, client_id, grant_id, approval, symbol, side, quantity, limit_price, executed_price, currency, created_at)
		VALUES (?, NULLIF(?, ''), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		order.ID, once, order.UserID, order.ClientID, order.GrantID, order.Approval, order.Symbol, order.Side, order.Quantity,
		order.LimitPrice, order.ExecutedPrice, order.Currency, order.CreatedAt.UnixMilli())
	if err := cmp.Or(err, tx.Commit()); err != nil {
		return store.Order{}, false, fmt.Errorf("place order: %w", err)
	}
	return order, true, nil
}

// Order returns a user's order, or store.ErrNotFound.
func (d *DB) Order(ctx context.Context, userID, id string) (store.Order, error) {
	return scan(d.db.QueryRowContext(ctx, "SELECT "+columns+" FROM orders WHERE id = ? AND user_id = ?", id, userID))
}

// Orders returns up to limit orders of a user, the newest first; those before
// the order called before, when it is not empty. The error is store.ErrNotFound
// when the user has no such order.
func (d *DB) Orders(ctx context.Context, userID, before string, limit int) ([]store.Order, error) {
	seq := int64(1<<63 - 1)
	if before != "" {
		err := d.db.QueryRowContext(ctx, "SELECT seq FROM orders WHERE id = ? AND user_id = ?", before, userID).Scan(&seq)
		if err != nil {
			return nil, translate(err)
		}
	}
	rows, err := d.db.QueryContext(ctx, "SELECT "+columns+" FROM orders WHERE user_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?", userID, seq, limit)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var all []store.Order
	for rows.Next() {
		order, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, order)
	}
	return all, translate(rows.Err())
}

func scan(row interface{ Scan(dest ...any) error }) (store.Order, error) {
	var o store.Order
	var created int64
	err := row.Scan(&o.ID, &o.Once, &o.UserID, &o.ClientID, &o.GrantID, &o.Approval, &o.Symbol, &o.Side, &o.Quantity,
		&o.LimitPrice, &o.ExecutedPrice, &o.Currency, &created)
	if err != nil {
		return store.Order{}, translate(err)
	}
	o.CreatedAt = time.UnixMilli(created).UTC()
	return o, nil
}

func translate(err error) error {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrNotFound
	case err != nil:
		return fmt.Errorf("orders: %w", err)
	}
	return nil
}
