package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"demo.example/services/internal/service"
)

// States of a service.
const (
	stateRunning = "running"
	stateStopped = "stopped" // because we were asked to
	stateFailed  = "failed"  // by itself
)

// stopTime is what a service gets to finish its requests, before it is killed.
const stopTime = 12 * time.Second

// maxLog bounds a log file, in bytes, at each start of a service.
const maxLog = 4 << 20

// supervisor starts the services, keeps what it is told about them, and stops
// them. It starts none again by itself: a service that ended is something to
// look at, not to hide.
type supervisor struct {
	log    *slog.Logger
	logDir string

	mu       sync.Mutex
	children map[string]*process
	order    []string
}

// process is a service and its newest run.
type process struct {
	child
	cmd     *exec.Cmd
	done    chan struct{} // closed when cmd has ended
	stopped bool          // on request
	exit    string        // how it ended
	since   time.Time
}

// supervise runs the services of the recorded deployment until it is asked to
// stop, by the socket or by a signal.
func (t *Tool) supervise(ctx context.Context) error {
	if t.Last == nil {
		return errNotUp
	}
	// The terminal of whoever ran `up` must not take the services with it.
	signal.Ignore(syscall.SIGHUP)
	s := newSupervisor((&localRuntime{t}).children(t.Last), filepath.Join(t.RunDir, "logs"), service.Logger(t.Err, "supervisor", slog.LevelInfo))
	return s.run(ctx, t.Last.ControlSocket)
}

func newSupervisor(children []child, logDir string, log *slog.Logger) *supervisor {
	s := &supervisor{log: log, logDir: logDir, children: map[string]*process{}}
	for _, c := range children {
		s.children[c.name] = &process{child: c}
		s.order = append(s.order, c.name)
	}
	return s
}

// run serves the control socket while the services run.
func (s *supervisor) run(ctx context.Context, socket string) error {
	listener, err := listenControl(ctx, socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{Handler: s.routes(cancel), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()

	for _, name := range s.order {
		if err := s.start(name); err != nil {
			s.log.Error("cannot start", "name", name, "err", err.Error())
		}
	}
	select {
	case <-ctx.Done():
		err = nil
	case err = <-served:
	}
	s.stopAll()
	// The answer to "down" is out when nothing runs any more.
	stopCtx, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer stop()
	return errors.Join(err, srv.Shutdown(stopCtx), removeSocket(socket))
}

// start starts a service that does not run.
func (s *supervisor) start(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.children[name]
	if p.running() {
		return nil
	}
	p.stopped, p.exit, p.since = false, "", time.Now()
	out, err := openLog(filepath.Join(s.logDir, name+".log"))
	if err != nil {
		p.exit = err.Error()
		return err
	}
	defer out.Close()              // the child has its own handle
	cmd := exec.Command(p.program) // ended by stop
	cmd.Env = environOf(p.env)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		p.exit = err.Error()
		return err
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	s.log.Info("started", "name", name, "pid", cmd.Process.Pid)
	go func() {
		_ = cmd.Wait() // the state says more than the error
		s.mu.Lock()
		defer s.mu.Unlock()
		p.exit = cmd.ProcessState.String()
		s.log.Info("ended", "name", name, "exit", p.exit, "on_request", p.stopped)
		close(done)
	}()
	return nil
}

// running must be called with the lock held.
func (p *process) running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop asks a service to end, kills it and its children when it does not, and
// returns when it has ended.
func (s *supervisor) stop(name string) {
	s.mu.Lock()
	p := s.children[name]
	if !p.running() {
		p.stopped = true
		s.mu.Unlock()
		return
	}
	p.stopped = true
	done, pid := p.done, p.cmd.Process.Pid
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended just now
	s.mu.Unlock()
	select {
	case <-done:
	case <-time.After(stopTime):
		s.log.Warn("killed, because it did not stop", "name", name)
		_ = syscall.Kill(-pid, syscall.SIGKILL) // its process group; it may have ended just now
		<-done
	}
}

// stopAll stops every service at the same time.
func (s *supervisor) stopAll() {
	var wg sync.WaitGroup
	for _, name := range s.order {
		wg.Go(func() { s.stop(name) })
	}
	wg.Wait()
}

func (s *supervisor) status() []ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []ServiceStatus
	for _, name := range s.order {
		p := s.children[name]
		status := ServiceStatus{Name: name, State: stateFailed, Detail: p.exit}
		switch {
		case p.running():
			status.State = stateRunning
			status.Detail = fmt.Sprintf("pid %d since %s", p.cmd.Process.Pid, p.since.Format(time.TimeOnly))
		case p.stopped:
			status.State = stateStopped
		case p.done == nil && p.exit == "":
			status.State, status.Detail = stateStopped, "not started yet"
		}
		all = append(all, status)
	}
	return all
}

// openLog opens a log to append to; one that has grown too large starts anew.
func openLog(name string) (*os.File, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	info, err := os.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(name, flags, 0o600)
}

// listenControl listens on the socket. A file that a supervisor left behind
// when it was killed is replaced; a supervisor that answers is not.
func listenControl(ctx context.Context, socket string) (net.Listener, error) {
	if _, err := newControlClient(socket).status(ctx); err == nil {
		return nil, errors.New("a supervisor runs already")
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(socket, 0o600)
}
