package trail

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/dbfile"
)

var now = time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)

// newTrail opens a trail in a file of its own.
func newTrail(t *testing.T, change ...func(*Config)) (*Trail, Config) {
	t.Helper()
	cfg := Config{
		File: filepath.Join(t.TempDir(), "audit.db"), Key: []byte("key"), Retention: time.Hour, MaxEvents: 1000,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	}
	for _, c := range change {
		c(&cfg)
	}
	trail, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trail.Close(); err != nil { // again, where a test did
			t.Error(err)
		}
	})
	return trail, cfg
}

func event(n int, more ...func(*audit.Event)) audit.Event {
	e := audit.Event{
		ID: fmt.Sprintf("event-%d", n), Time: now.Add(time.Duration(n) * time.Second), Service: "stocksapi",
		Kind: audit.APIDecision, Decision: audit.Allowed, User: "user-1", Client: "client-1",
	}
	for _, m := range more {
		m(&e)
	}
	return e
}

func appendAll(t *testing.T, trail *Trail, events ...audit.Event) {
	t.Helper()
	if err := trail.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

// alter does something to the file, as somebody who has no key.
func alter(t *testing.T, cfg Config, statements string) {
	t.Helper()
	db, err := dbfile.Open(cfg.File, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyFindsWhatWasDone: whoever can write to the file cannot change what
// it says without its showing.
func TestVerifyFindsWhatWasDone(t *testing.T) {
	tests := map[string]struct{ do, want string }{
		"nothing":              {"SELECT 1", ""},
		"an event removed":     {"DELETE FROM events WHERE seq = 5", "events 5 to 5 are missing"},
		"renumbered":           {"DELETE FROM events WHERE seq = 5; UPDATE events SET seq = seq - 1 WHERE seq > 5", "event 5 was altered"},
		"altered":              {`UPDATE events SET event = replace(event, 'user-1', 'user-2') WHERE seq = 5`, "event 5 was altered"},
		"an id altered":        {`UPDATE events SET id = 'other' WHERE seq = 5`, "event 5 was altered"},
		"swapped":              {`UPDATE events SET seq = 99 WHERE seq = 5; UPDATE events SET seq = 5 WHERE seq = 6; UPDATE events SET seq = 6 WHERE seq = 99`, "event 5 was altered"},
		"hidden from a search": {`UPDATE events SET user = NULL WHERE seq = 5`, "event 5 was altered"},
		"a column of bytes":    {`PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')'); PRAGMA writable_schema = RESET; UPDATE events SET user = x'00' WHERE seq = 5`, "event 5 was altered"},
		"copied in":            {`INSERT INTO events SELECT 11, mac, replace(event, 'event-10', 'event-11'), 'event-11', at, kind, decision, user, client, request, flow, grant_id FROM events WHERE seq = 10`, "event 11 was altered"},
		"beginning removed":    {"DELETE FROM events WHERE seq <= 3", "events 1 to 3 are missing"},
		"beginning forged":     {"INSERT INTO beginning SELECT 1, seq, mac, mac FROM events WHERE seq = 3; DELETE FROM events WHERE seq <= 3", "the beginning, after event 3"},
		"end cut off":          {"DELETE FROM events WHERE seq > 7", "is not in the trail"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			trail, cfg := newTrail(t)
			for n := range 10 {
				appendAll(t, trail, event(n+1))
			}
			head := trail.Head().String()
			if err := trail.Close(); err != nil {
				t.Fatal(err)
			}
			alter(t, cfg, tt.do)
			report, err := Verify(t.Context(), cfg, head)
			if tt.want == "" {
				if err != nil || report.Events != 10 || report.First != 1 || report.Head.String() != head {
					t.Errorf("%+v, %v", report, err)
				}
				cfg.Key = []byte("another")
				_, err = Verify(t.Context(), cfg, "")
				tt.want = "event 1 was altered"
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestExpectedHead(t *testing.T) {
	trail, cfg := newTrail(t)
	appendAll(t, trail, event(1))
	early := trail.Head().String()
	appendAll(t, trail, event(2))
	for expect, want := range map[string]string{early: "", "": "", "2:00": "is not in the trail", "nonsense": "is not a head"} {
		_, err := Verify(t.Context(), cfg, expect)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", expect, err, want)
		}
	}
}

// TestTrailGoesOn: after a restart the chain is one, and what a service sends
// twice is kept once.
func TestTrailGoesOn(t *testing.T) {
	trail, cfg := newTrail(t)
	appendAll(t, trail, event(1), event(2))
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	appendAll(t, again, event(2), event(3))
	report, err := Verify(t.Context(), cfg, "")
	if err != nil || report.Events != 3 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestPrune: what is old or too much goes, and the rest can still be checked.
func TestPrune(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		left   int64
	}{
		"nothing is old": {func(*Config) {}, 10},
		"too many":       {func(c *Config) { c.MaxEvents = 4 }, 4},
		"some are old":   {func(c *Config) { c.Now = func() time.Time { return now.Add(time.Hour + 6*time.Second) } }, 5},
		"all are old":    {func(c *Config) { c.Now = func() time.Time { return now.Add(24 * time.Hour) } }, 0},
		"old and too many": {func(c *Config) {
			c.MaxEvents = 2
			c.Now = func() time.Time { return now.Add(time.Hour + 6*time.Second) }
		}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			trail, cfg := newTrail(t, tt.change)
			for n := range 10 {
				appendAll(t, trail, event(n+1))
			}
			for range 2 { // the second time there is nothing to do
				if err := trail.Prune(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			appendAll(t, trail, event(11))
			report, err := Verify(t.Context(), cfg, "")
			if err != nil || report.Events != tt.left+1 || report.Head.Seq != 11 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// TestPruneKeepsEvidence: what was altered is not removed as if it were old,
// which would make the trail look whole again.
func TestPruneKeepsEvidence(t *testing.T) {
	for name, tt := range map[string]struct{ do, want string }{
		"made old":          {"UPDATE events SET at = 0 WHERE seq <= 8", "event 1 was altered"},
		"the first gone":    {"UPDATE events SET at = 0 WHERE seq <= 8; DELETE FROM events WHERE seq <= 3", "events 1 to 3 are missing"},
		"another beginning": {"INSERT INTO beginning SELECT 1, seq, mac, mac FROM events WHERE seq = 3; DELETE FROM events WHERE seq <= 3", "the beginning, after event 3"},
	} {
		trail, cfg := newTrail(t)
		for n := range 10 {
			appendAll(t, trail, event(n+1))
		}
		alter(t, cfg, tt.do)
		if err := trail.Prune(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if _, err := Verify(t.Context(), cfg, ""); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, after that: %v, want %q", name, err, tt.want)
		}
	}
}

// TestPruneInBatches: a great many events go as well, and that they went before
// their time is said.
func TestPruneInBatches(t *testing.T) {
	var log bytes.Buffer
	trail, cfg := newTrail(t, func(c *Config) { c.MaxEvents, c.Log = 10, slog.New(slog.NewJSONHandler(&log, nil)) })
	var all []audit.Event
	for n := range 2*pruneBatch + 100 {
		all = append(all, event(n+1))
	}
	appendAll(t, trail, all...)
	if err := trail.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), cfg, "")
	if err != nil || report.Events != 10 || !strings.Contains(log.String(), `"events":2090`) {
		t.Errorf("%+v, %v, %s", report, err, log.String())
	}
}

// TestAlteredWhileItGrows: what is done to the file of a running server shows
// at once and for ever, at the end as well.
func TestAlteredWhileItGrows(t *testing.T) {
	for name, tt := range map[string]struct{ do, want string }{
		"end cut off": {"DELETE FROM events WHERE seq > 8", "events 9 to 10 are missing"},
		"all cut off": {"DELETE FROM events", "events 1 to 10 are missing"},
		"forged":      {"INSERT INTO events SELECT 11, mac, event, 'another', at, kind, decision, user, client, request, flow, grant_id FROM events WHERE seq = 10", "event 11 was altered"},
		"replaced":    {"UPDATE events SET mac = x'00' WHERE seq = 10", "event 10 was altered"},
	} {
		var log bytes.Buffer
		trail, cfg := newTrail(t, func(c *Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
		for n := range 10 {
			appendAll(t, trail, event(n+1))
		}
		alter(t, cfg, tt.do)
		appendAll(t, trail, event(11))
		appendAll(t, trail, event(12))
		if n := strings.Count(log.String(), "the audit trail was altered"); n != 1 {
			t.Errorf("%s: said %d times: %s", name, n, log.String())
		}
		if found, err := trail.Search(t.Context(), Filter{Kind: audit.Lost}); err != nil || len(found) != 1 || !strings.Contains(found[0].Reason, "altered") {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
		if _, err := Verify(t.Context(), cfg, ""); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestPruneFails: what cannot be noted as removed stays.
func TestPruneFails(t *testing.T) {
	trail, cfg := newTrail(t, func(c *Config) { c.MaxEvents = 4 })
	for n := range 10 {
		appendAll(t, trail, event(n+1))
	}
	for _, statement := range []string{
		"CREATE TRIGGER full BEFORE INSERT ON beginning BEGIN SELECT RAISE(FAIL, 'disk full'); END", "DROP TRIGGER full",
	} {
		if _, err := trail.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if err := trail.Prune(t.Context()); (err == nil) != strings.HasPrefix(statement, "DROP") {
			t.Errorf("after %s: %v", statement, err)
		}
		if report, err := Verify(t.Context(), cfg, ""); err != nil {
			t.Errorf("after %s: %+v, %v", statement, report, err)
		}
	}
}

func TestRecordAndAppendAtOnce(t *testing.T) {
	trail, cfg := newTrail(t)
	other, err := Open(t.Context(), cfg) // of another process, while it takes the place of this one
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			for n := range 20 {
				trail.Record(t.Context(), audit.Event{Kind: audit.SignIn, Decision: audit.Allowed})
				appendAll(t, other, event(1000*i+n))
			}
		})
	}
	group.Wait()
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), cfg, "")
	if err != nil || report.Events != 400 {
		t.Errorf("%+v, %v", report, err)
	}
}

func seqs(entries []Entry) []int64 {
	var all []int64
	for _, e := range entries {
		all = append(all, e.Seq)
	}
	return all
}

func TestSearch(t *testing.T) {
	trail, _ := newTrail(t)
	appendAll(t, trail,
		event(1), event(2, func(e *audit.Event) { e.User = "user-2" }), event(3, func(e *audit.Event) { e.Decision = audit.Refused }),
		event(4, func(e *audit.Event) { e.Client, e.Kind = "client-2", audit.ToolCall }), event(5, func(e *audit.Event) { e.Request, e.Grant = "r", "g" }))
	tests := map[string]struct {
		filter Filter
		want   []int64
	}{
		"all":      {Filter{}, []int64{5, 4, 3, 2, 1}},
		"user":     {Filter{User: "user-2"}, []int64{2}},
		"client":   {Filter{Client: "client-2"}, []int64{4}},
		"kind":     {Filter{Kind: audit.ToolCall}, []int64{4}},
		"decision": {Filter{Decision: audit.Refused}, []int64{3}},
		"request":  {Filter{Request: "r"}, []int64{5}},
		"grant":    {Filter{Grant: "g"}, []int64{5}},
		"time":     {Filter{Since: now.Add(2 * time.Second), Until: now.Add(4 * time.Second)}, []int64{3, 2}},
		"page":     {Filter{Before: 4, Limit: 2}, []int64{3, 2}},
		"nothing":  {Filter{User: "nobody' OR 1=1 --"}, nil},
	}
	for name, tt := range tests {
		found, err := trail.Search(t.Context(), tt.filter)
		if diff := cmp.Diff(tt.want, seqs(found)); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

// TestSearchByIndex: no search walks through the whole trail for events that
// there are few of, and none sorts what it found.
func TestSearchByIndex(t *testing.T) {
	trail, _ := newTrail(t)
	tests := map[string]struct {
		filter Filter
		want   string
	}{
		"user":            {Filter{User: "u"}, "SEARCH events USING INDEX events_user (user=?)"},
		"client, a page":  {Filter{Client: "c", Before: 9}, "SEARCH events USING INDEX events_client (client=? AND rowid<?)"},
		"request":         {Filter{Request: "r"}, "SEARCH events USING INDEX events_request (request=?)"},
		"grant":           {Filter{Grant: "g"}, "SEARCH events USING INDEX events_grant (grant_id=?)"},
		"calls of a user": {Filter{User: "u", Client: "c", Kind: audit.ToolCall}, "SEARCH events USING INDEX events_called (user=? AND client=? AND kind=?)"},
		"a rare kind":     {Filter{Kind: audit.Administration}, "SEARCH events USING INDEX events_rare (kind=?)"},
		"a frequent kind": {Filter{Kind: audit.TokenExchanged}, "SCAN events"}, // from the end, and not far
		"refusals":        {Filter{Decision: audit.Refused}, "SEARCH events USING INDEX events_refused (decision=?)"},
		"a moment":        {Filter{Until: now}, "SCAN events"},
	}
	for name, tt := range tests {
		query, args := tt.filter.query()
		rows, err := trail.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var plan []string
		for rows.Next() {
			var ignored int
			var step string
			if err := rows.Scan(&ignored, &ignored, &ignored, &step); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, step)
		}
		if diff := cmp.Diff([]string{tt.want}, plan); diff != "" || rows.Err() != nil {
			t.Errorf("%s: %v\n%s", name, rows.Err(), diff)
		}
	}
}

// TestStory: one request leads back to the consent that allowed it.
func TestStory(t *testing.T) {
	trail, _ := newTrail(t)
	step := func(n int, kind audit.Kind, request, flow, grant string) audit.Event {
		return event(n, func(e *audit.Event) { e.Kind, e.Request, e.Flow, e.Grant = kind, request, flow, grant })
	}
	appendAll(t, trail,
		step(1, audit.PasscodeSent, "r1", "f1", ""),
		step(2, audit.SignIn, "r2", "f2", ""), // of somebody else
		step(3, audit.SignIn, "r3", "f1", ""),
		step(4, audit.Consent, "r4", "f1", "g1"),
		step(5, audit.TokenIssued, "r5", "", "g1"),
		step(6, audit.ToolCall, "r6", "", "g1"), // another call
		step(7, audit.TokenExchanged, "r7", "", "g1"),
		step(8, audit.APIDecision, "r7", "", "g1"),
		step(9, audit.ToolCall, "r7", "", "g1"),
		step(10, audit.TokenRevoked, "r8", "", "g1")) // after it
	story, err := trail.Story(t.Context(), "r7")
	if diff := cmp.Diff([]int64{1, 3, 4, 5, 7, 8, 9}, seqs(story)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if story, err := trail.Story(t.Context(), "unknown"); err != nil || len(story) != 0 {
		t.Errorf("%v, %v", story, err)
	}
}

// TestEventsThatCannotBeKept are counted, and the trail says so when it can.
func TestEventsThatCannotBeKept(t *testing.T) {
	var log bytes.Buffer
	trail, cfg := newTrail(t, func(c *Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	other, err := dbfile.Open(cfg.File, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "ALTER TABLE events RENAME TO away"); err != nil {
		t.Fatal(err)
	}
	trail.Record(t.Context(), event(1))
	trail.writing.Wait()
	if err := trail.Append(t.Context(), event(2)); err == nil {
		t.Error("an event was kept nowhere, without an error")
	}
	if _, err := other.ExecContext(t.Context(), "ALTER TABLE away RENAME TO events"); err != nil {
		t.Fatal(err)
	}
	appendAll(t, trail, event(3))
	found, err := trail.Search(t.Context(), Filter{Kind: audit.Lost})
	if err != nil || len(found) != 1 || found[0].Detail["events"] != "1" || !strings.Contains(log.String(), "audit events not kept") {
		t.Errorf("%+v, %v, %s", found, err, log.String())
	}
}
