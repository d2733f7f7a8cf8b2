package authserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	trail "demo.example/services/authserver/audit"
	"demo.example/services/internal/audit"
)

// report sends events as a service does.
func (h *harness) report(client, body string) answer {
	h.Helper()
	r := h.request(http.MethodPost, audit.Path, body)
	r.Header.Set("Content-Type", "application/json")
	if client != "" {
		r.SetBasicAuth(client, "client-"+client+secretFor)
	}
	return h.do(h.newBrowser(), r)
}

func reported(id string, kind audit.Kind) string {
	return fmt.Sprintf(`{"id":%q,"time":"2026-07-28T12:00:00Z","service":"authserver","kind":%q,"decision":"allowed","user":"user-1"}`, id, kind)
}

func TestCollectAudit(t *testing.T) {
	h := newHarness(t)
	good := reported("e1", audit.ToolCall)
	for name, tt := range map[string]struct {
		client, body string
		status       int
	}{
		"kept":                   {"stocksmcp", "[" + good + "]", 204},
		"sent again":             {"stocksmcp", "[" + good + "," + reported("e2", audit.Lost) + "]", 204},
		"nothing":                {"stocksapi", "[]", 204},
		"another's kind":         {"stocksapi", "[" + reported("e3", audit.ToolCall) + "]", 400},
		"a sign-in":              {"gateway", "[" + reported("e4", audit.SignIn) + "]", 400},
		"one bad, none kept":     {"stocksmcp", "[" + reported("e5", audit.ToolCall) + "," + reported("", audit.ToolCall) + "]", 400},
		"a long id":              {"stocksmcp", "[" + reported(strings.Repeat("e", 65), audit.ToolCall) + "]", 400},
		"no time":                {"stocksmcp", `[{"id":"e6","kind":"tool.call","decision":"allowed"}]`, 400},
		"no decision":            {"stocksmcp", `[{"id":"e7","time":"2026-07-28T12:00:00Z","kind":"tool.call"}]`, 400},
		"not JSON":               {"stocksmcp", "event", 400},
		"too large":              {"stocksmcp", "[" + good + strings.Repeat(" ", maxBody) + "]", 400},
		"not a service":          {"stocks-web", "[" + good + "]", 400},
		"without authentication": {"", "[" + good + "]", 401},
	} {
		if a := h.report(tt.client, tt.body); a.Status != tt.status {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	r := h.request(http.MethodPost, audit.Path, "[]")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("stocksmcp", "client-stocksmcp"+secretFor)
	wantError(h, "a form", h.do(h.newBrowser(), r), 400, "invalid_request")

	found, err := h.trail.Search(t.Context(), trail.Filter{User: "user-1"})
	var got []string
	for _, e := range found {
		got = append(got, e.ID+" "+e.Service) // whose it is nobody can choose
	}
	if diff := cmp.Diff(2, len(got)); err != nil || diff != "" || !strings.Contains(strings.Join(got, ", "), "e1 stocksmcp") {
		t.Errorf("%v, %v", got, err)
	}
}

// TestAuditVerify: the command finds out what somebody did to the file.
func TestAuditVerify(t *testing.T) {
	h := newHarness(t)
	for i := range 3 {
		h.report("stocksmcp", "["+reported(fmt.Sprintf("event-%d", i), audit.ToolCall)+"]")
	}
	environ := []string{"SECRETS_DIR=" + h.cfg.SecretsDir, "DATABASE_FILE=" + h.cfg.DatabaseFile}
	verify := func(args ...string) string {
		var out bytes.Buffer
		if err := AuditVerify(args)(t.Context(), environ, &out); err != nil {
			return err.Error()
		}
		return out.String()
	}
	head := h.trail.Head().String()
	if got := verify(head); !strings.Contains(got, "is intact: 3 events") || !strings.Contains(got, head) {
		t.Error(got)
	}
	if got := verify("4:00"); !strings.Contains(got, "NOT intact, after 3 events") {
		t.Error(got)
	}
	if got := verify("1", "2"); !strings.Contains(got, "takes one head") {
		t.Error(got)
	}
	environ[1] = "DATABASE_FILE=" + filepath.Join(t.TempDir(), "authserver.db")
	if got := verify(); !strings.Contains(got, "AUDIT_FILE: ") {
		t.Error(got)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(environ[1]), "audit.db")); err == nil {
		t.Error("a trail was made by checking")
	}
}

func FuzzReadEvents(f *testing.F) {
	for _, seed := range []string{"[" + reported("e1", audit.ToolCall) + "]", "[]", "null", "[null]", `[{"id":"a","time":"9999-12-31T23:59:59Z"}]`, `[{"id":"a","detail":{"a":1}}]`} {
		f.Add([]byte(seed))
	}
	kinds := witnesses["stocksmcp"]
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := readEvents(body, "stocksmcp", kinds)
		if err != nil {
			return
		}
		for _, e := range events {
			raw, err := json.Marshal(e)
			if err != nil {
				t.Fatalf("an event that was read cannot be kept: %v", err)
			}
			var again audit.Event
			if err := json.Unmarshal(raw, &again); err != nil || again.Service != "stocksmcp" || !again.Time.Equal(e.Time) || again.Time.Before(time.Unix(0, 0)) {
				t.Errorf("%s, %v", raw, err)
			}
		}
	})
}
