package audit

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
)

// TestStrangers: what nobody who is known did is recorded at a rate that no
// flood raises; everything else always is.
func TestStrangers(t *testing.T) {
	var s Strangers
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	flood := func(n int) (recorded int) {
		for range n {
			if s.Take(Event{Decision: Refused, Client: "claimed"}, now) {
				recorded++
			}
		}
		return recorded
	}
	if n := flood(100_000); n != strangersAtOnce {
		t.Errorf("%d recorded at once", n)
	}
	now = now.Add(10 * time.Second)
	if n := flood(100_000); n != 10*strangersPerSecond {
		t.Errorf("%d recorded in ten seconds", n)
	}
	for name, e := range map[string]Event{
		"allowed":          {Decision: Allowed},
		"of a user":        {Decision: Refused, User: "user-1"},
		"of a grant":       {Decision: Refused, Grant: "grant-1"},
		"outage of a user": {Decision: Failed, User: "user-1"},
	} {
		if !s.Take(e, now) {
			t.Errorf("%s: not recorded", name)
		}
	}
	now = now.Add(24 * time.Hour)
	if n := flood(100_000); n != strangersAtOnce {
		t.Errorf("%d recorded at once, a day later", n)
	}
}

func TestOf(t *testing.T) {
	claims := &token.Claims{
		RegisteredClaims: jwt.RegisteredClaims{ID: "jti", Subject: "user-1", Audience: jwt.ClaimStrings{"https://api.example"}},
		ClientID:         "client-1", Scope: "stocks/read", GrantID: "grant-1",
		Actor: &token.Actor{Subject: "newest", Actor: &token.Actor{Subject: "oldest"}},
	}
	want := Event{
		Kind: APIDecision, Decision: Refused, Reason: "why", Grant: "grant-1", Token: "jti", User: "user-1", Client: "client-1",
		Actors: []string{"newest", "oldest"}, Audience: "https://api.example", Scope: "stocks/read",
	}
	if diff := cmp.Diff(want, Of(claims, APIDecision, Refused, "why")); diff != "" {
		t.Error(diff)
	}
	if e := On(t.Context()); e == nil {
		t.Error("there is nothing to write into")
	}
	ctx, e := Begin(t.Context(), SignIn)
	On(ctx).User = "user-1"
	if e.User != "user-1" || e.Kind != SignIn {
		t.Errorf("%+v", e)
	}
}
