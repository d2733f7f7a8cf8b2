package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"demo.example/services/internal/dbfile"
)

// maxGroup is how many writes share one transaction at most, so that the
// first of them does not wait for long.
const maxGroup = 64

// writer is the one connection that writes. Writes that wait for it at the
// same time share a transaction (group commit), since committing is most of
// what a write costs. Nobody is answered before the transaction with their
// write is committed, and a write that fails is undone without its neighbours.
//
// There is no goroutine for it: of the callers that wait, one leads, which is
// to run the writes of all.
type writer struct {
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt // prepared; of whoever leads

	mu    sync.Mutex
	queue []*write
	led   bool // somebody leads
}

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	return &writer{db: db, conn: conn, statements: map[string]*sql.Stmt{}}, err
}

// write is one caller's part of a transaction.
type write struct {
	ctx     context.Context
	do      func(tx) error // may run twice, when what it was part of had to be undone
	several bool           // statements: undone together
	err     error
	panic   any
	turn    chan bool // true: lead, false: it is done
}

// tx runs statements in a transaction.
type tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) dbfile.Row
}

// ExecContext runs one statement.
func (w *writer) ExecContext(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	err = w.run(&write{ctx: ctx, do: func(t tx) (err error) {
		res, err = t.ExecContext(ctx, query, args...)
		return err
	}})
	return res, err
}

// QueryRowContext runs one statement that changes rows and returns one.
func (w *writer) QueryRowContext(ctx context.Context, query string, args ...any) dbfile.Row {
	return func(dest []any) error {
		return w.run(&write{ctx: ctx, do: func(t tx) error { return t.QueryRowContext(ctx, query, args...).Scan(dest...) }})
	}
}

// Transact runs several statements, all or, when do returns an error, none.
// do may be called twice.
func (w *writer) Transact(ctx context.Context, do func(tx) error) error {
	return w.run(&write{ctx: ctx, do: do, several: true})
}

// Close closes the connection. Closing it again is fine.
func (w *writer) Close() error {
	err := w.conn.Close()
	if errors.Is(err, sql.ErrConnDone) {
		err = nil
	}
	return errors.Join(err, w.db.Close())
}

// run returns when a write is committed, or has failed.
func (w *writer) run(own *write) error {
	own.turn = make(chan bool, 1)
	w.mu.Lock()
	w.queue = append(w.queue, own)
	lead := !w.led
	w.led = true
	w.mu.Unlock()
	if lead || <-own.turn {
		w.lead(own)
	}
	if own.panic != nil {
		panic(own.panic)
	}
	return own.err
}

// lead runs the writes that wait, own being the first, and hands the lead on.
func (w *writer) lead(own *write) {
	runtime.Gosched() // who is about to write may still come along
	w.mu.Lock()
	n := min(len(w.queue), maxGroup)
	group := w.queue[:n:n]
	w.queue = w.queue[n:]
	w.mu.Unlock()

	w.commit(group)
	for _, each := range group {
		if each != own {
			each.turn <- false
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.led = false
		return
	}
	w.queue[0].turn <- true
}

// commit runs a group in one transaction. When something goes wrong that is
// not one write's own affair, all is undone, and each write has another try by
// itself.
func (w *writer) commit(group []*write) {
	err := w.do("BEGIN IMMEDIATE")
	if err != nil {
		for _, each := range group {
			each.err = err
		}
		return
	}
	for i := 0; err == nil && i < len(group); i++ {
		err = group[i].within(transaction{w}, len(group) > 1)
	}
	switch {
	case err != nil && len(group) > 1:
		_ = w.do("ROLLBACK") // SQLite may have done it already
		for _, each := range group {
			w.commit([]*write{each})
		}
	case err != nil || len(group) == 1 && group[0].failed():
		_ = w.do("ROLLBACK")
	default:
		if err := w.do("COMMIT"); err != nil {
			_ = w.do("ROLLBACK")
			for _, each := range group {
				each.err = cmp.Or(each.err, err)
			}
		}
	}
}

// do runs a statement without arguments.
func (w *writer) do(query string) error {
	_, err := transaction{w}.ExecContext(context.Background(), query)
	return err
}

func (own *write) failed() bool { return own.err != nil || own.panic != nil }

// within runs one write in a transaction, which others may share, and notes
// its outcome. It returns an error when the transaction is spoilt for all.
func (own *write) within(t tx, shared bool) error {
	own.panic = nil
	if own.err = own.ctx.Err(); own.failed() {
		return nil // gave up while it waited
	}
	savepoint := shared && own.several // a single statement that fails undoes itself
	ctx := context.Background()
	if savepoint {
		if _, err := t.ExecContext(ctx, "SAVEPOINT own"); err != nil {
			return err
		}
	}
	func() {
		defer func() { own.panic = recover() }() // goes to its own caller
		own.err = own.do(t)
	}()
	if own.err != nil && !local(own.err) {
		return own.err
	}
	if !savepoint {
		return nil
	}
	if own.failed() {
		if _, err := t.ExecContext(ctx, "ROLLBACK TO own"); err != nil {
			return err
		}
	}
	_, err := t.ExecContext(ctx, "RELEASE own")
	return err
}

// local reports whether an error concerns one statement alone: it found
// nothing, or a constraint forbade it. Others, such as a full disk, may have
// ended the whole transaction (https://sqlite.org/lang_transaction.html,
// "Response to errors within a transaction").
func local(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT
	}
	return !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, sql.ErrConnDone)
}

// transaction runs statements on the writer's connection. A caller who hangs up
// must not interrupt those whose transaction it shares, so that their contexts
// do not reach the database.
type transaction struct{ w *writer }

// ExecContext implements tx.
func (t transaction) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	s, err := t.prepared(query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(context.Background(), args...)
}

// QueryRowContext implements tx.
func (t transaction) QueryRowContext(_ context.Context, query string, args ...any) dbfile.Row {
	return func(dest []any) error {
		s, err := t.prepared(query)
		if err != nil {
			return err
		}
		return s.QueryRowContext(context.Background(), args...).Scan(dest...)
	}
}

func (t transaction) prepared(query string) (*sql.Stmt, error) {
	if s, ok := t.w.statements[query]; ok {
		return s, nil
	}
	s, err := t.w.conn.PrepareContext(context.Background(), query)
	if err == nil {
		t.w.statements[query] = s
	}
	return s, err
}
