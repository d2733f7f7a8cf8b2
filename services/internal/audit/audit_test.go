package audit

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/token"
)

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
