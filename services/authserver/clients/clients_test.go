package clients

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
)

// memory is a client store; what it leaves out the tests do not reach.
type memory struct {
	clientStore
	mu      sync.Mutex
	clients map[string]store.Client
	kept    map[string]time.Time
	down    error
}

func (m *memory) SaveClient(_ context.Context, c store.Client) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return m.down
	}
	if m.clients == nil {
		m.clients = map[string]store.Client{}
	}
	m.clients[c.ID] = c
	return nil
}

func (m *memory) AddRegistration(ctx context.Context, c store.Client, _ store.Hash, _ time.Time, _ int) error {
	return m.SaveClient(ctx, c)
}

func (m *memory) KeepClient(_ context.Context, id string, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[string]time.Time{}
	}
	m.kept[id] = until
	return nil
}

func (m *memory) Client(_ context.Context, id string) (store.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return store.Client{}, m.down
	}
	c, ok := m.clients[id]
	if !ok {
		return c, store.ErrNotFound
	}
	return c, nil
}

var now = time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)

// newRegistry returns a registry that knows these clients and can reach no
// network.
func newRegistry(known ...store.Client) (*Registry, *memory) {
	m := &memory{}
	for _, c := range known {
		_ = m.SaveClient(context.Background(), c) // a map takes everything
	}
	clock := func() time.Time { return now }
	return &Registry{
		Presets:   map[string]store.Client{"reviewed": {ID: "reviewed", Registration: store.RegisteredByReview, AuthMethod: AuthNone}},
		Store:     m,
		Documents: NewDocuments(&http.Client{Transport: noNetwork{}}, clock),
		Policy:    Policy{Scope: "stocks/read openid", Resource: "https://mcp.demo.example/"},
		Now:       clock,
	}, m
}

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
}

func TestFind(t *testing.T) {
	r, m := newRegistry(store.Client{ID: "dcr-1", Name: "One"}, store.Client{ID: "reviewed", Name: "Somebody else"})
	if c, err := r.Find(t.Context(), "dcr-1"); err != nil || c.Name != "One" {
		t.Errorf("stored: %v, %v", c, err)
	}
	if c, err := r.Find(t.Context(), "reviewed"); err != nil || c.Registration != store.RegisteredByReview {
		t.Errorf("the reviewed client comes first: %v, %v", c, err)
	}
	for _, id := range []string{"", "dcr-2", "https://never.example/fetched"} {
		if _, err := r.Find(t.Context(), id); !errors.Is(err, ErrUnknown) {
			t.Errorf("Find(%q): %v", id, err)
		}
	}
	m.down = errors.New("the disk is full")
	if _, err := r.Find(t.Context(), "dcr-1"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("an outage looks like an unknown client: %v", err)
	}
}

// TestRemember: only a client that a document describes is kept by it.
func TestRemember(t *testing.T) {
	r, m := newRegistry()
	kept := store.Client{ID: "https://agent.example/c.json", Registration: store.RegisteredByDocument}
	for _, c := range []store.Client{kept, {ID: "dcr-1", Registration: store.RegisteredDynamically}, {ID: "reviewed", Registration: store.RegisteredByReview}} {
		if err := r.Remember(t.Context(), c, now); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]store.Client{kept.ID: kept}, maps.Clone(m.clients)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	until := now.Add(90 * 24 * time.Hour)
	if diff := cmp.Diff(map[string]time.Time{kept.ID: until, "dcr-1": until}, m.kept); diff != "" {
		t.Errorf("kept until (-want +got):\n%s", diff)
	}
}
