package dbfile

import (
	"context"
	"database/sql"
	"sync"
)

// maxStatements bounds what a pool prepares. Those that come later are prepared
// anew each time.
const maxStatements = 256

// Pool is the connections that read. It prepares every statement once: SQLite
// takes longer to understand a short query than to run it.
//
// A caller who gives up before a query for one row begins is told so; one that
// has begun is finished. They take microseconds, and watching each for the end
// of its context costs more than running it.
type Pool struct {
	*sql.DB
	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

// NewPool returns a pool of connections, which Close ends.
func NewPool(db *sql.DB) *Pool { return &Pool{DB: db, statements: map[string]*sql.Stmt{}} }

// prepared returns the statement with a text, or nil when there are too many.
// Close ends them all.
func (p *Pool) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.RLock()
	s, ok := p.statements[query]
	full := len(p.statements) >= maxStatements
	p.mu.RUnlock()
	if ok || full {
		return s, nil
	}
	s, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first, ok := p.statements[query]; ok {
		s.Close()
		return first, nil
	}
	p.statements[query] = s
	return s, nil
}

// QueryRowContext hides sql.DB's.
func (p *Pool) QueryRowContext(ctx context.Context, query string, args ...any) Row {
	return func(dest []any) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		ctx := context.WithoutCancel(ctx)
		s, err := p.prepared(ctx, query)
		if err != nil {
			return err
		}
		if s == nil {
			return p.DB.QueryRowContext(ctx, query, args...).Scan(dest...)
		}
		return s.QueryRowContext(ctx, args...).Scan(dest...)
	}
}

// QueryContext hides sql.DB's. What it begins ends with ctx.
func (p *Pool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.DB.QueryContext(ctx, query, args...)
	}
	return s.QueryContext(ctx, args...)
}

// Row is a query that runs when its one row is read.
type Row func(dest []any) error

// Scan runs the query.
func (r Row) Scan(dest ...any) error { return r(dest) }
