package login

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"demo.example/services/authserver/store"
	"demo.example/services/authserver/store/sqlite"
)

// fixture is a login service with a clock, a mailbox and a log of its own,
// and an authorization request called r1, and one called r2.
type fixture struct {
	*Service
	t    *testing.T
	db   *sqlite.DB
	now  time.Time
	logs strings.Builder

	mu    sync.Mutex
	mails []Message
	down  error
}

const john, suspended, pending = "john.doe@demo.example", "suspended.user@demo.example", "pending.user@demo.example"

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "authserver.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{t: t, db: db, now: time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)}
	f.Service = &Service{
		Store: db, Mailer: f, Key: []byte("a key of thirty-two bytes, or so"), Limits: Limits{PerAddress: 60, PerIP: 300, Total: 3000},
		Log: slog.New(slog.NewJSONHandler(&f.logs, nil)), Now: func() time.Time { return f.now },
	}
	if err := AddUsers(t.Context(), db, ""); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"r1", "r2"} {
		if err := db.AddRequest(t.Context(), store.Request{ID: id, ExpiresAt: f.now.Add(24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// Ready and Queue make the fixture a mailer.
func (f *fixture) Ready(context.Context) error { return f.down }

func (f *fixture) Queue(m Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mails = append(f.mails, m)
}

// send asks for a passcode and returns it, or "" when none was mailed.
func (f *fixture) send(requestID, email string) string {
	f.t.Helper()
	before := len(f.mails)
	if err := f.Send(f.t.Context(), requestID, email, "192.0.2.1", Message{}); err != nil {
		f.t.Fatal(err)
	}
	if len(f.mails) == before {
		return ""
	}
	return f.mails[before].Passcode
}

func (f *fixture) check(requestID, typed string) (string, error) {
	return f.Check(f.t.Context(), requestID, typed)
}

func (f *fixture) user(email string) store.User {
	f.t.Helper()
	u, err := f.db.UserByEmail(f.t.Context(), email)
	if err != nil {
		f.t.Fatal(err)
	}
	return u
}

func (f *fixture) suspend(email string) {
	f.t.Helper()
	if err := f.db.SetUserStatus(f.t.Context(), f.user(email).ID, store.UserSuspended); err != nil {
		f.t.Fatal(err)
	}
}
