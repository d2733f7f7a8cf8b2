package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tool is the operator's own program, run with the settings of one
// deployment.
type tool struct {
	root    string // of the repository
	dir     string // all that the deployment leaves on this machine
	environ []string
}

func (t *tool) program() string { return filepath.Join(t.dir, "demo") }

// build compiles the tool outside of the workspace, as a release would be, so
// that this module's dependencies can't raise those of the services.
func (t *tool) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", t.program(), "./cmd/demo")
	cmd.Dir = filepath.Join(t.root, "services")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the operator's tool: %w\n%s", err, out)
	}
	return nil
}

// run runs one of the tool's commands and returns what it printed.
func (t *tool) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, t.program(), args...)
	cmd.Dir = t.root
	cmd.Env = append(os.Environ(), t.environ...)
	var advice bytes.Buffer
	cmd.Stderr = &advice
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("demo %s: %w\n%s", strings.Join(args, " "), err, advice.String())
	}
	return string(out), nil
}

// freePort returns a port that is free now on both loopback addresses.
func freePort() (int, error) {
	for range 20 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		free := true
		if l6, err := net.Listen("tcp6", fmt.Sprintf("[::1]:%d", port)); err == nil {
			l6.Close()
		} else {
			free = !hasIPv6()
		}
		l.Close()
		if free {
			return port, nil
		}
	}
	return 0, errors.New("no port is free on 127.0.0.1 and ::1 alike")
}

func hasIPv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err == nil {
		l.Close()
	}
	return err == nil
}
