// Package trail keeps the trail: every event of every service, in the order in
// which they arrived, each chained to the one before. The chain is keyed, so
// that whoever can write to the file and does not have the key cannot remove
// or alter an event without its showing (verify.go).
//
// What no chain shows is that its end was cut off. The server therefore logs
// the newest link now and then, and the check can be told to expect it.
package trail

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/dbfile"
)

//go:embed schema.sql
var schema string

const (
	schemaVersion = 1 // of schema.sql

	maxWaiting = 20_000 // own events that wait to be written
	maxBatch   = 256
	writeEvery = 20 * time.Millisecond // so that events come together: a transaction costs as much as several of them
	pruneEvery = time.Minute
	headEvery  = time.Minute
)

// Config of a trail.
type Config struct {
	File      string        // created when missing
	Key       []byte        // of the chain
	Retention time.Duration // how long an event is kept
	MaxEvents int           // and how many, at most
	Log       *slog.Logger
	Now       func() time.Time
}

// Trail implements audit.Recorder for the server that keeps it.
type Trail struct {
	cfg    Config
	db     *sql.DB // one connection, which writes
	insert *sql.Stmt
	read   *dbfile.Pool

	mu   sync.Mutex // of appending
	head Link

	quotas audit.Quotas

	waiting sync.Mutex
	own     []audit.Event // recorded and not written yet
	lost    int
	writing sync.WaitGroup // the one goroutine that writes own events, while there are any
	busy    bool
	written time.Time // when it last began to
}

// Open opens or creates the trail. The caller closes it.
func Open(ctx context.Context, cfg Config) (*Trail, error) {
	t, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.File, err)
	}
	return t, nil
}

func open(ctx context.Context, cfg Config) (*Trail, error) {
	const sync = "synchronous(NORMAL)" // a power cut may cost the last moments
	// The log is copied into the file, and both are synced, every 16 MB: most
	// pages are written again before that.
	db, err := dbfile.Open(cfg.File, 1, sync, "wal_autocheckpoint(4000)")
	if err != nil {
		return nil, err
	}
	read, err := dbfile.Open(cfg.File, 2, sync, "query_only(1)")
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	t := &Trail{cfg: cfg, db: db, read: dbfile.NewPool(read)}
	if err = dbfile.CreateTables(ctx, db, schema, schemaVersion); err == nil {
		t.head, err = newest(ctx, db)
	}
	if err == nil {
		t.insert, err = db.PrepareContext(ctx, "INSERT INTO events (seq, mac, event, "+columns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING")
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *Trail) close() error { return errors.Join(t.read.Close(), t.db.Close()) }

// Record implements audit.Recorder. The event is written in the background.
func (t *Trail) Record(ctx context.Context, e audit.Event) {
	e = audit.Complete(ctx, e, "authserver", t.cfg.Now())
	wanted := t.quotas.Take(e, t.cfg.Now())
	t.waiting.Lock()
	defer t.waiting.Unlock()
	if !wanted || len(t.own) >= maxWaiting {
		t.lost++
		return
	}
	t.own = append(t.own, e)
	if !t.busy {
		t.busy = true
		t.writing.Go(t.write)
	}
}

// write writes own events, many at a time when many come, until none waits.
func (t *Trail) write() {
	for {
		time.Sleep(time.Until(t.written.Add(writeEvery)))
		t.written = time.Now()
		t.waiting.Lock()
		n := min(len(t.own), maxBatch)
		batch := t.own[:n:n]
		t.own = t.own[n:]
		if n == 0 {
			t.own, t.busy = nil, false
			t.waiting.Unlock()
			return
		}
		t.waiting.Unlock()
		if err := t.Append(context.Background(), batch...); err != nil {
			t.addLost(n)
			t.cfg.Log.Error("audit events not kept", "events", n, "error", err.Error())
		}
	}
}

func (t *Trail) addLost(n int) {
	t.waiting.Lock()
	defer t.waiting.Unlock()
	t.lost += n
}

// Append adds the events of another service, all or none; those that are there
// already are skipped.
func (t *Trail) Append(ctx context.Context, events ...audit.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // of no use after Commit
	head, altered, err := t.end(ctx, tx)
	if err != nil {
		return err
	}
	t.waiting.Lock()
	lost := t.lost
	t.waiting.Unlock()
	if lost > 0 || altered != "" {
		e := audit.Event{Kind: audit.Lost, Decision: audit.Failed, Reason: altered, Detail: map[string]string{"events": strconv.Itoa(lost)}}
		events = append(events[:len(events):len(events)], audit.Complete(context.Background(), e, "authserver", t.cfg.Now()))
	}
	insert := tx.StmtContext(ctx, t.insert)
	defer insert.Close()
	for _, e := range events {
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		next := Link{head.Seq + 1, t.link(head, raw)}
		res, err := insert.ExecContext(ctx, append([]any{next.Seq, next.MAC, string(raw)}, values(e)...)...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 1 {
			head = next
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if altered != "" {
		t.cfg.Log.Error(altered)
	}
	t.head = head
	t.addLost(-lost)
	return nil
}

// Flush returns when what was recorded before is written.
func (t *Trail) Flush() { t.writing.Wait() }

// Close writes what was recorded and closes the file.
func (t *Trail) Close() error {
	t.writing.Wait()
	return t.close()
}
