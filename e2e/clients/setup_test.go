// Package clients_test runs MCP clients that others wrote against a
// deployment: each finds the authorization server, registers, has a user sign
// in and agree, lists the tools and calls one. The clients are programs on
// Node, pinned in package-lock.json; `make clients` installs them and runs
// this.
package clients_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"demo.example/e2e/deployment"
	"demo.example/e2e/launch"
	"demo.example/e2e/node"
	"demo.example/e2e/person"
)

// setup is what all clients run with.
type setup struct {
	*launch.Running
	installed string // folder with the clients' node_modules
	node      string // the program
}

// prepare starts a deployment, of local processes unless RUNTIME says
// otherwise, and returns a context that Ctrl-C ends: the test ends and not the
// process, so that it cleans up.
func prepare(t *testing.T) (context.Context, *setup) {
	t.Helper()
	installed := os.Getenv("CLIENTS")
	if installed == "" {
		t.Skip("the clients need npm: `make clients` installs and runs them")
	}
	program, err := node.Program(installed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	if os.Getenv("RUNTIME") == "" {
		t.Setenv("RUNTIME", deployment.Local)
	}
	demo, err := launch.Start(ctx)
	if err != nil {
		t.Fatalf("start the deployment: %v", err)
	}
	t.Cleanup(func() {
		if err := demo.Close(); err != nil {
			t.Errorf("remove the deployment: %v", err)
		}
	})
	return ctx, &setup{Running: demo, installed: installed, node: program}
}

// command returns a client, to be run for somebody who has never used it
// before: home is empty at first.
//
// Its environment is all that docs/clients.md asks of a user, and keeps it
// from opening a browser of its own: no desktop, and no program on the path.
// All of them also print the address that the browser should open.
func (s *setup) command(ctx context.Context, home, script string, args ...string) (*exec.Cmd, error) {
	resolver, err := filepath.Abs("resolve.cjs")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, s.node, append([]string{"--require", resolver, script}, args...)...)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "PATH=" + home, "DOMAIN=" + s.Domain, "NODE_EXTRA_CA_CERTS=" + s.CAFile}
	// Inspector signs nobody in where it sees no terminal, unless told to, and
	// would keep tokens in the desktop's keychain.
	cmd.Env = append(cmd.Env, "MCP_AUTO_OPEN_ENABLED=true", "MCP_INSPECTOR_SECRET_STORE=file")
	cmd.WaitDelay = 5 * time.Second
	return cmd, nil
}

// script returns a program of one of the installed packages.
func (s *setup) script(path string) string { return filepath.Join(s.installed, "node_modules", path) }

// visitor is a user who opens the addresses that a client prints.
type visitor struct {
	*person.Person
	issuer string
	said   strings.Builder // all that the client printed
	visits []string        // the addresses that the user opened
}

func (s *setup) visitor() *visitor {
	return &visitor{Person: person.New(s.Deployment, person.John), issuer: s.Issuer()}
}

// address is one that a terminal shows.
var address = regexp.MustCompile(`https://[^\s\x1b"']+`)

// watch reads what a client prints until it ends, and visits each address of
// the authorization endpoint once.
func (v *visitor) watch(ctx context.Context, printed io.Reader) error {
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		fmt.Fprintln(&v.said, lines.Text())
		for _, a := range address.FindAllString(lines.Text(), -1) {
			if !strings.HasPrefix(a, v.issuer+"/authorize?") || len(v.visits) > 0 && v.visits[len(v.visits)-1] == a {
				continue
			}
			v.visits = append(v.visits, a)
			if err := v.Visit(ctx, a, person.Allow); err != nil {
				return fmt.Errorf("sign in for the client: %w", err)
			}
		}
	}
	return lines.Err()
}

// agreed checks that the user was asked to agree once, and was told this about
// the client.
func (v *visitor) agreed(t *testing.T, told ...string) {
	t.Helper()
	var asked []string
	for _, page := range v.Pages() {
		if page.Offers("decision", person.Allow) {
			asked = append(asked, page.Text)
		}
	}
	if len(asked) != 1 {
		t.Errorf("the user was asked to agree %d times, want once", len(asked))
	}
	for _, want := range told {
		if !strings.Contains(strings.Join(asked, " "), want) {
			t.Errorf("the user was asked %q, want %q in it", asked, want)
		}
	}
}

// run runs a client to its end, with the user at its side, and returns what it
// printed to stdout.
func (v *visitor) run(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	cmd.Stderr = w
	watched := make(chan error, 1)
	go func() {
		err := v.watch(ctx, r)
		if err != nil && cmd.Process != nil {
			_ = cmd.Process.Kill() // it would wait for minutes
		}
		_, _ = io.Copy(io.Discard, r) // so that it does not block
		watched <- err
	}()
	out, err := cmd.Output()
	w.Close()
	if watchErr := <-watched; watchErr != nil {
		err = watchErr
	}
	if err != nil {
		return out, fmt.Errorf("%w; it printed\n%s\n%s", err, out, v.said.String())
	}
	return out, nil
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
