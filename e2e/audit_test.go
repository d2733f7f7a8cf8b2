package e2e_test

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// TestAuditTrail: what a tool call leaves in the trail arrives there, and the
// trail is intact.
func TestAuditTrail(t *testing.T) {
	intact := regexp.MustCompile(`^The audit trail is intact: ([0-9]+) events`)
	events := func() int {
		said, err := demo.VerifyAudit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := intact.FindStringSubmatch(said)
		if found == nil {
			t.Fatalf("said %q", said)
		}
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a := newAgent(t, agent.Dynamic("Audited agent", redirect), person.John)
	call := func() {
		if _, err := a.Call(t.Context(), agent.Stateless); err != nil {
			t.Fatal(err)
		}
	}
	call() // with sign-in, consent and the exchange
	settled := events()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); { // what was recorded earlier arrives within moments
		time.Sleep(500 * time.Millisecond)
		if now := events(); now == settled {
			break
		} else {
			settled = now
		}
	}
	call()
	// The tool's call and the API's decision; and another exchange, where the
	// MCP server heard nothing of the authorization server for a moment.
	const least, most = 2, 3
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		n := events() - settled
		if n >= least && n <= most {
			return
		}
		if n > most || time.Now().After(deadline) {
			t.Fatalf("a call left %d events, want %d or %d", n, least, most)
		}
	}
}
