// Package launch starts a deployment for tests, in containers or as local
// processes, next to whatever else runs on this machine, and breaks parts of
// it on demand.
package launch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"demo.example/e2e/deployment"
)

// Running is a deployment that was started for tests. It has names, a port,
// state and secrets of its own.
type Running struct {
	*deployment.Deployment
	runtime runtime

	mu      sync.Mutex
	oldLogs []byte // of containers that are gone
	closed  bool
}

// runtime is what differs between containers and processes.
type runtime interface {
	// up starts all services, waits until they are healthy, and says where.
	up(ctx context.Context) (deployment.Deployment, error)
	// down stops them and keeps their state.
	down(ctx context.Context) error
	stop(ctx context.Context, service string) error
	kill(ctx context.Context, service string) error  // without a chance to finish anything
	start(ctx context.Context, service string) error // and waits until it is healthy
	logs(ctx context.Context, service string) ([]byte, error)
	// inside is where the service listens behind the gateway's back: on this
	// machine's loopback, or on the engine's bridge.
	inside(ctx context.Context, service string) (string, error)
	// mutualTLS tells whether the services let in only one another.
	mutualTLS() bool
	// published are the addresses on this machine, "host:port", at which the
	// service can be reached without the gateway's consent.
	published(ctx context.Context, service string) ([]string, error)
	// verifyAudit is what make audit-verify does.
	verifyAudit(ctx context.Context) (string, error)
	// keepsLogs tells whether logs outlive down.
	keepsLogs() bool
	// remove leaves nothing behind.
	remove(ctx context.Context) error
}

// Start starts a deployment. The variable RUNTIME chooses how, as for `make
// up`: containers where an engine answers, else local processes. The caller
// must Close it.
func Start(ctx context.Context) (*Running, error) {
	choice := os.Getenv("RUNTIME")
	if choice == "" {
		choice = deployment.Local
		if engineAnswers(ctx) {
			choice = deployment.Docker
		}
	}
	if choice != deployment.Docker && choice != deployment.Local {
		return nil, fmt.Errorf("RUNTIME: %q is neither %s nor %s", choice, deployment.Docker, deployment.Local)
	}
	t, err := newTool(ctx, choice)
	if err != nil {
		return nil, err
	}
	r := &Running{runtime: &processes{tool: t}}
	if choice == deployment.Docker {
		r.runtime = &containers{tool: t}
	}
	where, err := r.runtime.up(ctx)
	if err == nil {
		r.Deployment, err = deployment.Connect(where)
	}
	if err != nil {
		logs, _ := r.logs(ctx, "") // the cause is there, if anywhere
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, logs), r.Close())
	}
	return r, nil
}

// newTool builds the operator's tool for a deployment of its own.
func newTool(ctx context.Context, runtime string) (*tool, error) {
	root, err := deployment.Root()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		return nil, err
	}
	t := &tool{root: root, dir: dir, environ: []string{
		"RUNTIME=" + runtime,
		fmt.Sprintf("HTTPS_PORT=%d", port),
		"RUN_DIR=" + filepath.Join(dir, "run"),
		"CERTS_DIR=" + filepath.Join(dir, "certs"),
		"COMPOSE_PROJECT_NAME=e2e-" + strings.ToLower(rand.Text()[:8]),
	}}
	if err := t.build(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return t, nil
}

// Stop stops one service.
func (r *Running) Stop(ctx context.Context, service string) error {
	return r.runtime.stop(ctx, service)
}

// Start starts a stopped service and waits until it is healthy.
func (r *Running) Start(ctx context.Context, service string) error {
	return r.runtime.start(ctx, service)
}

// Kill ends a service at once, as a crash does. Start starts it again.
func (r *Running) Kill(ctx context.Context, service string) error {
	return r.runtime.kill(ctx, service)
}

// Restart takes the whole deployment down and up again, as `make down` and
// `make up` do.
func (r *Running) Restart(ctx context.Context) error {
	if !r.runtime.keepsLogs() {
		logs, err := r.Logs(ctx)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.oldLogs = logs
		r.mu.Unlock()
	}
	if err := r.runtime.down(ctx); err != nil {
		return err
	}
	r.Hangup()
	_, err := r.runtime.up(ctx)
	return err
}

// Logs returns all that the services have logged so far.
func (r *Running) Logs(ctx context.Context) ([]byte, error) {
	r.mu.Lock()
	old := r.oldLogs
	r.mu.Unlock()
	return r.logs(ctx, string(old))
}

func (r *Running) logs(ctx context.Context, old string) ([]byte, error) {
	all := []byte(old)
	for _, service := range deployment.Services {
		logs, err := r.runtime.logs(ctx, service)
		if err != nil {
			return all, fmt.Errorf("logs of %s: %w", service, err)
		}
		all = append(all, logs...)
	}
	return all, nil
}

// VerifyAudit has the authorization server's program check the audit trail, as
// `make audit-verify` does, and returns what it says.
func (r *Running) VerifyAudit(ctx context.Context) (string, error) {
	return r.runtime.verifyAudit(ctx)
}

// Published returns the addresses on this machine, "host:port", at which a
// service can be reached.
func (r *Running) Published(ctx context.Context, service string) ([]string, error) {
	return r.runtime.published(ctx, service)
}

// Close stops the deployment and removes all that it left. It may be called
// twice.
func (r *Running) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return r.runtime.remove(ctx)
}
