package trail

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"demo.example/services/internal/audit"
)

// Filter says which events to look for. Fields that are empty let all pass.
type Filter struct {
	User, Client, Request, Grant string
	Kind                         audit.Kind
	Decision                     audit.Decision
	Since, Until                 time.Time
	Before                       int64 // only events with a smaller number: the next page
	Limit                        int   // at most this many; 0 means 100
}

// Entry is an event and its number in the trail.
type Entry struct {
	Seq int64
	audit.Event
}

// Search returns events, newest first.
func (t *Trail) Search(ctx context.Context, f Filter) ([]Entry, error) {
	query, args := f.query()
	return t.entries(ctx, query, args...)
}

func (f Filter) query() (query string, args []any) {
	var where []string
	add := func(condition string, arg any) {
		where = append(where, condition)
		args = append(args, arg)
	}
	for _, c := range []struct{ column, value string }{
		{"user", f.User}, {"client", f.Client}, {"request", f.Request}, {"grant_id", f.Grant},
		{"kind", string(f.Kind)}, {"decision", string(f.Decision)},
	} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	// So that the planner sees which of the indexes of some events it may use.
	switch f.Kind {
	case "", audit.TokenIssued, audit.TokenExchanged: // no index: they are everywhere
	case audit.ToolCall, audit.APIDecision:
		where = append(where, "kind IN ('tool.call', 'api.decision')")
	default:
		where = append(where, "kind NOT IN ('token.issued', 'token.exchanged', 'tool.call', 'api.decision')")
	}
	if f.Decision != "" && f.Decision != audit.Allowed {
		where = append(where, "decision <> 'allowed'")
	}
	if !f.Since.IsZero() {
		add("at >= ?", f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		add("at < ?", f.Until.UnixMilli())
	}
	if f.Before > 0 {
		add("seq < ?", f.Before)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	query = "SELECT seq, event FROM events"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	return query + " ORDER BY seq DESC LIMIT ?", append(args, f.Limit)
}

// maxStory bounds how much of a long-lived grant a story tells.
const maxStory = 500

// Story returns what belongs to one request, oldest first: the events of the
// request itself, and how the access that it used came about, from sign-in and
// consent to the last token of the same grant before it.
func (t *Trail) Story(ctx context.Context, request string) ([]Entry, error) {
	own, err := t.entries(ctx, "SELECT seq, event FROM events WHERE request = ? ORDER BY seq LIMIT ?", request, maxStory)
	if err != nil || len(own) == 0 {
		return own, err
	}
	seen := map[int64]bool{}
	var grants []string
	for _, e := range own {
		seen[e.Seq] = true
		if e.Grant != "" && !slices.Contains(grants, e.Grant) {
			grants = append(grants, e.Grant)
		}
	}
	story := own
	add := func(query string, args ...any) error {
		more, err := t.entries(ctx, query, args...)
		for _, e := range more {
			if !seen[e.Seq] {
				seen[e.Seq] = true
				story = append(story, e)
			}
		}
		return err
	}
	last := own[len(own)-1].Seq
	for _, g := range grants {
		// What is about the grant itself, and not another call that used it.
		err := add(`SELECT seq, event FROM events WHERE grant_id = ? AND seq <= ? AND kind NOT IN (?, ?, ?) ORDER BY seq DESC LIMIT ?`,
			g, last, audit.Access, audit.ToolCall, audit.APIDecision, maxStory)
		if err != nil {
			return nil, err
		}
	}
	for _, e := range slices.Clone(story) {
		if e.Flow != "" {
			if err := add("SELECT seq, event FROM events WHERE flow = ? ORDER BY seq LIMIT ?", e.Flow, maxStory); err != nil {
				return nil, err
			}
		}
	}
	// By the moment of each: services report on their own time, and what came
	// first may have arrived last.
	slices.SortFunc(story, func(a, b Entry) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Seq, b.Seq)) })
	return story, nil
}

func (t *Trail) entries(ctx context.Context, query string, args ...any) ([]Entry, error) {
	rows, err := t.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Entry
	for rows.Next() {
		var e Entry
		var raw string
		if err := rows.Scan(&e.Seq, &raw); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(raw), &e.Event); err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		found = append(found, e)
	}
	return found, rows.Err()
}
