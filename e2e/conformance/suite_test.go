package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/deployment"
	"demo.example/e2e/node"
	"demo.example/e2e/person"
)

// suite is one run of the suite's command for authorization servers.
type suite struct {
	installed  string // folder with the suite's node_modules
	deployment *deployment.Deployment
	client     agent.Client
	port       int    // on which the suite waits for the authorization response
	proxy      string // through which it talks to the deployment, "host:port"
	user       *person.Person
}

// callback is where the suite waits for the authorization response.
func callback(port int) string { return fmt.Sprintf("http://127.0.0.1:%d/callback", port) }

// run runs the suite, signs in when it asks for that, and returns the outcome
// of every check by its id.
func (s *suite) run(ctx context.Context, t *testing.T) (map[string]string, error) {
	t.Helper()
	program, err := node.Program(s.installed)
	if err != nil {
		return nil, err
	}
	// No --scenario: the grant's scenario relies on what the metadata's found.
	results := t.TempDir()
	args := []string{
		filepath.Join(s.installed, "node_modules/@modelcontextprotocol/conformance/dist/index.js"), "authorization",
		"--url", s.deployment.Issuer(), "--resource", s.deployment.MCPResource(), "--client-id", s.client.ID,
		"--port", strconv.Itoa(s.port), "--spec-version", specification, "--output-dir", results,
	}
	if s.client.Secret != "" {
		args = append(args, "--client-secret", s.client.Secret)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{
		"NODE_EXTRA_CA_CERTS=" + s.deployment.CAFile,
		"NODE_USE_ENV_PROXY=1", "https_proxy=http://" + s.proxy,
	}
	cmd.WaitDelay = 5 * time.Second
	out, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the suite: %w", err)
	}
	watched := make(chan error, 1)
	go func() {
		err := s.watch(ctx, t, out)
		if err != nil {
			cancel() // it would wait for minutes
		}
		_, _ = io.Copy(io.Discard, out) // so that it does not block
		watched <- err
	}()
	err = cmd.Wait()
	w.Close()
	err = errors.Join(<-watched, err)
	checks, readErr := readChecks(results, "*")
	return checks, errors.Join(err, readErr)
}

// watch logs what the suite prints, and plays the user when it prints the
// address to sign in at.
func (s *suite) watch(ctx context.Context, t *testing.T, printed io.Reader) error {
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		t.Log(lines.Text())
		if strings.HasPrefix(lines.Text(), s.deployment.Issuer()+"/authorize?") {
			if err := s.user.Visit(ctx, lines.Text(), person.Allow); err != nil {
				return fmt.Errorf("sign in for the suite: %w", err)
			}
		}
	}
	return lines.Err()
}

// readChecks reads the files that the suite wrote, one for each scenario, of
// those that the pattern matches.
func readChecks(dir, pattern string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, pattern, "checks.json"))
	if err != nil {
		return nil, err
	}
	outcomes := map[string]string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var checks []struct{ ID, Status, ErrorMessage string }
		if err := json.Unmarshal(raw, &checks); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, check := range checks {
			outcome := strings.TrimSpace(check.Status + " " + check.ErrorMessage)
			if previous := outcomes[check.ID]; previous != "" && previous != outcome {
				outcome = previous + "; " + outcome
			}
			outcomes[check.ID] = outcome
		}
	}
	return outcomes, nil
}

// freePort returns a port that is free now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
