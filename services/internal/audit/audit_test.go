package audit

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
)

// TestStrangers: what anybody can cause is recorded at a rate that no flood
// raises, and no flood of one kind takes the place of another; what is allowed
// to somebody always is recorded.
func TestStrangers(t *testing.T) {
	var s Strangers
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	flood := func(e Event) (recorded int) {
		for range 10_000 {
			if s.Take(e, now) {
				recorded++
			}
		}
		return recorded
	}
	tests := map[string]struct {
		event     Event
		perSecond int
	}{
		"a stranger is refused":         {Event{Decision: Refused, Client: "claimed"}, strangersPerSecond},
		"what strangers may do":         {Event{Decision: Allowed, Kind: ClientChanged}, strangersPerSecond},
		"a user is refused":             {Event{Decision: Refused, User: "user-1"}, refusalsPerSecond}, // 429, again and again
		"a grant, and there is no more": {Event{Decision: Failed, Grant: "grant-1"}, 0},
	}
	for _, name := range []string{"a stranger is refused", "what strangers may do", "a user is refused"} {
		if n := flood(tests[name].event); n != atOnce {
			t.Errorf("%s: %d recorded at once", name, n)
		}
	}
	now = now.Add(10 * time.Second)
	for _, name := range []string{"a stranger is refused", "what strangers may do", "a user is refused", "a grant, and there is no more"} {
		if n := flood(tests[name].event); n != 10*tests[name].perSecond {
			t.Errorf("%s: %d recorded in ten seconds", name, n)
		}
	}
	if n := flood(Event{Decision: Allowed, User: "user-1"}); n != 10_000 {
		t.Errorf("%d of what a user was allowed", n)
	}
	now = now.Add(24 * time.Hour)
	if n := flood(tests["a stranger is refused"].event); n != atOnce {
		t.Errorf("%d recorded at once, a day later", n)
	}
}

// TestComplete: nobody makes an event larger than it is of use.
func TestComplete(t *testing.T) {
	long := strings.Repeat("é", maxField)
	detail := map[string]string{"resource": long, "method": "resources/read"}
	e := Complete(t.Context(), Event{Client: long, Reason: long, Token: "jti", Detail: detail}, "gateway", time.Now())
	want := strings.Repeat("é", maxField/2) + "…"
	if e.Client != want || e.Reason != want || e.Token != "jti" || e.Detail["resource"] != want || e.Detail["method"] != "resources/read" {
		t.Errorf("%+v", e)
	}
	if detail["resource"] != long {
		t.Error("the caller's map was changed")
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
