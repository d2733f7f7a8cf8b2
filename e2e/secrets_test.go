package e2e_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
)

// TestNoSecretInLogs (attack G16) looks for every credential that the tests handled, in
// all that any service logged. It comes late (file names order the tests), and
// runs a flow of its own in case it comes alone.
func TestNoSecretInLogs(t *testing.T) {
	p := person.New(demo.Deployment, person.Jane)
	f := agent.NewFlow(demo.Deployment, newClient(t), demo.MCPResource())
	callback, err := p.Authorize(t.Context(), f.URL(), person.Allow)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := f.Redeem(t.Context(), callback.Query().Get("code"))
	want(t, answer, err, http.StatusOK)
	want2xx(t, answer.Text("access_token"))
	exchanged(t, phantom(t, answer.Text("access_token")))

	secrets := map[string]bool{}
	for _, e := range traffic.Take() {
		for _, secret := range e.Secrets() {
			if len(secret) >= 8 { // shorter ones are the tests' own nonsense
				secrets[secret] = true
			}
		}
	}
	for _, name := range []string{"key-encryption-key", "client-gateway", "client-stocksmcp", "client-stocks-web", "client-stocks-report", "client-stocksapi", "client-admin"} {
		secrets[secret(t, name)] = true
	}
	if len(secrets) < 15 {
		t.Fatalf("only %d credentials were seen: the test does not see the traffic", len(secrets))
	}
	logs, err := demo.Logs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(logs) < 10_000 {
		t.Fatalf("the services logged %d bytes: the test does not see the logs", len(logs))
	}
	for secret := range secrets {
		if line, leaked := leak(string(logs), secret); leaked {
			t.Errorf("a credential of %d characters is in a log: %s", len(secret), line)
		}
	}
}

// leak returns the line that has the secret in it.
func leak(logs, secret string) (line string, found bool) {
	if isPasscode.MatchString(secret) {
		return leakedPasscode(logs, secret)
	}
	before, after, found := strings.Cut(logs, secret)
	if !found {
		return "", false
	}
	before = before[strings.LastIndex(before, "\n")+1:]
	after, _, _ = strings.Cut(after, "\n")
	return before + "<HERE>" + after, true
}

var isPasscode = regexp.MustCompile(`^\d{8}$`)

// leakedPasscode looks for a passcode where it stands alone, whole or in
// halves. Numbers and times are left out: their digits can equal it by chance.
func leakedPasscode(logs, passcode string) (line string, found bool) {
	if !strings.Contains(strings.ReplaceAll(logs, " ", ""), passcode) {
		return "", false
	}
	alone := regexp.MustCompile(`\b` + passcode[:4] + ` ?` + passcode[4:] + `\b`)
	for line := range strings.Lines(logs) {
		if !alone.MatchString(line) {
			continue
		}
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) != nil {
			return line, true
		}
		delete(record, "time")
		if slices.ContainsFunc(stringsIn(record), alone.MatchString) {
			return line, true
		}
	}
	return "", false
}

func stringsIn(value any) []string {
	var found []string
	switch v := value.(type) {
	case string:
		found = append(found, v)
	case map[string]any:
		for _, member := range v {
			found = append(found, stringsIn(member)...)
		}
	case []any:
		for _, member := range v {
			found = append(found, stringsIn(member)...)
		}
	}
	return found
}
