package deploy

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"demo.example/services/internal/service"
)

// runSupervisor supervises shell scripts until the test ends.
func runSupervisor(t *testing.T, scripts map[string]string) (c *controlClient, logDir string) {
	t.Helper()
	logDir = t.TempDir()
	var children []child
	for name, script := range scripts {
		program := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		children = append(children, child{name: name, program: program, env: map[string]string{"PATH": os.Getenv("PATH")}})
	}
	socket, err := socketPath(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := newSupervisor(children, logDir, service.Logger(t.Output(), "supervisor", slog.LevelInfo))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, socket) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c = newControlClient(socket)
	if err := waitFor(t.Context(), 5*time.Second, func(ctx context.Context) error {
		_, err := c.status(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return c, logDir
}

// waitState waits until a service is in a state, and returns its detail.
func waitState(t *testing.T, c *controlClient, name, state string) string {
	t.Helper()
	var detail string
	err := waitFor(t.Context(), 5*time.Second, func(ctx context.Context) error {
		all, err := c.status(ctx)
		for _, s := range all {
			if s.Name == name && s.State == state {
				detail = s.Detail
				return nil
			}
		}
		if err == nil {
			err = os.ErrDeadlineExceeded
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s is never %s: %v", name, state, err)
	}
	return detail
}

func TestSupervisorRecordsExits(t *testing.T) {
	c, logDir := runSupervisor(t, map[string]string{"ok": "exec sleep 60", "bad": "echo why >&2; exit 7"})
	if detail := waitState(t, c, "bad", stateFailed); !strings.Contains(detail, "7") {
		t.Errorf("detail %q lacks the exit status", detail)
	}
	waitState(t, c, "ok", stateRunning)
	if got := tail(filepath.Join(logDir, "bad.log"), 5); got != "why" {
		t.Errorf("log %q", got)
	}
	if err := c.stop(t.Context(), "ok"); err != nil {
		t.Fatal(err)
	}
	waitState(t, c, "ok", stateStopped)
	if err := c.stop(t.Context(), "ok"); err != nil {
		t.Errorf("stop twice: %v", err)
	}
	if err := c.start(t.Context(), "ok"); err != nil {
		t.Fatal(err)
	}
	waitState(t, c, "ok", stateRunning)
	if err := c.start(t.Context(), "nope"); err == nil || !strings.Contains(err.Error(), "no such service") {
		t.Errorf("unknown service: %v", err)
	}
}

func TestSupervisorRefusesASecond(t *testing.T) {
	socket := filepath.Join(t.TempDir(), socketName)
	first := newSupervisor(nil, t.TempDir(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- first.run(ctx, socket) }()
	if err := waitFor(t.Context(), 5*time.Second, func(ctx context.Context) error {
		_, err := newControlClient(socket).status(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	second := newSupervisor(nil, t.TempDir(), slog.New(slog.DiscardHandler))
	if err := second.run(t.Context(), socket); err == nil {
		t.Error("a second supervisor took the socket of the first")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// A file that nobody listens on is no obstacle.
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := listenControl(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestOpenLogIsBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.log")
	for _, size := range []int{10, maxLog + 1} {
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := openLog(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if kept := info.Size() > 0; kept != (size <= maxLog) {
			t.Errorf("a log of %d bytes: kept %t", size, kept)
		}
	}
}

func TestSocketPathIsShortEnough(t *testing.T) {
	short, err := socketPath("/r")
	if err != nil || short != "/r/control.sock" {
		t.Errorf("%q, %v", short, err)
	}
	long, err := socketPath("/" + strings.Repeat("x", 200))
	if err != nil {
		t.Fatal(err)
	}
	if len(long) > maxSocketPath {
		t.Errorf("%q is %d bytes", long, len(long))
	}
	dir := filepath.Dir(long)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v; want 0700", dir, info.Mode(), err)
	}
	if err := removeSocket(long); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory is left behind")
	}
}
