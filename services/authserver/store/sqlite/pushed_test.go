package sqlite

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
)

func TestPushedRequests(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.UnixMilli(1_800_000_000_000).UTC()
	hash := store.HashOf("secret")
	want := store.Request{ClientID: "client-1", RedirectURI: "https://app.example/cb", State: "s", Scope: "stocks/read", Silent: true, HintedUser: "u", MaxAge: time.Minute, ExpiresAt: now.Add(time.Minute)}
	add := func() {
		t.Helper()
		if err := db.AddPushedRequest(t.Context(), hash, want); err != nil {
			t.Fatal(err)
		}
	}
	take := func(client string, at time.Time) (store.Request, error) {
		return db.TakePushedRequest(t.Context(), hash, client, at)
	}
	add()
	if err := db.AddPushedRequest(t.Context(), hash, want); !errors.Is(err, store.ErrExists) {
		t.Errorf("the same again: %v", err)
	}
	if _, err := take("client-2", now); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("another client: %v", err)
	}
	if _, err := take("client-1", now.Add(time.Minute)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("expired: %v", err)
	}
	got, err := take("client-1", now)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := take("client-1", now); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("taken: %v", err)
	}

	add()
	results := make(chan error)
	for range 20 {
		go func() { _, err := take("client-1", now); results <- err }()
	}
	taken := 0
	for range 20 {
		if err := <-results; err == nil {
			taken++
		} else if !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
	}
	if taken != 1 {
		t.Errorf("taken %d times in parallel", taken)
	}

	add()
	if err := db.Expire(t.Context(), now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	add() // no ErrExists: it is gone
}
