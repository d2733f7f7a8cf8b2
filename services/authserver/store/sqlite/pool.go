package sqlite

import (
	"context"
	"database/sql"
	"sync"
)

// pool is the connections that read. It prepares every statement once. The texts
// are constants of this package, so there are only so many.
//
// A caller who gives up before a statement begins is told so; one that has
// begun is finished. They take microseconds, and watching each for the end of
// its context costs more than running it.
type pool struct {
	*sql.DB
	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

func newPool(db *sql.DB) *pool { return &pool{DB: db, statements: map[string]*sql.Stmt{}} }

// prepared returns the statement with a text. Close ends them all.
func (p *pool) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.RLock()
	s, ok := p.statements[query]
	p.mu.RUnlock()
	if ok {
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
func (p *pool) QueryRowContext(ctx context.Context, query string, args ...any) row {
	return func(dest []any) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		ctx := context.WithoutCancel(ctx)
		s, err := p.prepared(ctx, query)
		if err != nil {
			return err
		}
		return s.QueryRowContext(ctx, args...).Scan(dest...)
	}
}

// QueryContext hides sql.DB's. What it begins ends with ctx.
func (p *pool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// row is a query that runs when its one row is read.
type row func(dest []any) error

// Scan runs the query.
func (r row) Scan(dest ...any) error { return r(dest) }
