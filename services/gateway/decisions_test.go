package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDecisionsAreLogged: each request to a protected resource is one decision
// in the log, which says who, by a fingerprint with what, and why. No secret
// is in it (attack G16).
func TestDecisionsAreLogged(t *testing.T) {
	d := start(t, "TOKEN_CACHE_TTL=1m")
	d.issue("good", map[string]any{"grant_id": "grant-1"})
	d.issue("narrow", map[string]any{"grant_id": "grant-2", "scope": "openid"})
	d.answer("outage", answerWith(500, "text/plain", "oops"))
	fingerprint := func(token string) string {
		sum := sha256.Sum256([]byte(token))
		return hex.EncodeToString(sum[:4])
	}
	d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer good")
	tests := map[string]struct {
		headers []string
		want    map[string]any
	}{
		"allowed": {
			[]string{"Authorization", "Bearer good"},
			map[string]any{"decision": "allow", "sub": "john", "client_id": "agent", "grant_id": "grant-1", "token": fingerprint("good"), "cached": true},
		},
		"no token": {nil, map[string]any{"decision": "deny", "reason": "no token"}},
		"unknown token": {
			[]string{"Authorization", "Bearer unknown"},
			map[string]any{"decision": "deny", "reason": "not active", "token": fingerprint("unknown"), "cached": false},
		},
		"scope": {
			[]string{"Authorization", "Bearer narrow"},
			map[string]any{
				"decision": "deny", "reason": "insufficient scope", "sub": "john", "client_id": "agent", "grant_id": "grant-2",
				"token": fingerprint("narrow"), "cached": false,
			},
		},
		"wrong scheme": {
			[]string{"Authorization", "DPoP good"},
			map[string]any{
				"decision": "deny", "reason": "bound to a key and presented as Bearer, or the other way round", "sub": "john", "client_id": "agent", "grant_id": "grant-1",
				"token": fingerprint("good"), "cached": true,
			},
		},
		"outage": {
			[]string{"Authorization", "Bearer outage"},
			map[string]any{"level": "ERROR", "decision": "unavailable", "reason": "introspection: unexpected status 500", "token": fingerprint("outage"), "cached": false},
		},
		"page of another site": {
			[]string{"Authorization", "Bearer good", "Origin", "https://evil.example"},
			map[string]any{"decision": "deny", "reason": "foreign origin"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := len(d.logLines("token"))
			resp, _ := d.do(t, "GET", testSite.MCPResource(), "", tt.headers...)
			lines := d.logLines("token")[before:]
			if len(lines) != 1 {
				t.Fatalf("%d decisions, want one", len(lines))
			}
			want := map[string]any{
				"level": "INFO", "msg": "token", "service": "gateway", "resource": testSite.MCPResource(), "request_id": resp.Header.Get("X-Request-Id"),
			}
			for key, value := range tt.want {
				want[key] = value
			}
			delete(lines[0], "time")
			if diff := cmp.Diff(want, lines[0]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	// Who was turned away is in the audit trail as well.
	wantAudited := []string{
		"failed introspection: unexpected status 500 by ", "refused bound to a key and presented as Bearer, or the other way round by john",
		"refused insufficient scope by john", "refused not active by ",
	}
	var audited []string
	for deadline := time.Now().Add(5 * time.Second); len(audited) < len(wantAudited) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		audited = nil
		d.login.mu.Lock()
		for _, e := range d.login.events {
			audited = append(audited, fmt.Sprintf("%s %s by %s", e.Decision, e.Reason, e.User))
		}
		d.login.mu.Unlock()
	}
	slices.Sort(audited)
	if diff := cmp.Diff(wantAudited, audited); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}
}
