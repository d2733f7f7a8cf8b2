package deploy

import (
	"context"
	"errors"
	"fmt"

	"demo.example/services/internal/certs"
)

// runtime runs the services: Compose, or local processes.
type runtime interface {
	// prepare builds what up starts.
	prepare(ctx context.Context, pki certs.Result) error
	// up starts the services, or brings running ones up to date, and returns
	// when all are healthy. It fills in what it alone knows of d.
	up(ctx context.Context, pki certs.Result, d *Deployment) error
	// running reports whether any service runs.
	running(ctx context.Context) (bool, error)
	down(ctx context.Context) error
	// clean is down, and removes what the runtime keeps outside RUN_DIR.
	clean(ctx context.Context) error
	status(ctx context.Context) ([]ServiceStatus, error)
	logs(ctx context.Context, services []string) error
	stop(ctx context.Context, service string) error
	start(ctx context.Context, service string) error
	// exec runs a subcommand of a service's program in its environment.
	exec(ctx context.Context, service string, args ...string) (string, error)
}

// ServiceStatus is how one service is.
type ServiceStatus struct {
	Name   string `json:"name"`
	State  string `json:"state"` // running, stopped, failed
	Detail string `json:"detail,omitempty"`
}

func (t *Tool) runtime(name string) runtime {
	if name == Docker {
		return &composeRuntime{t}
	}
	return &localRuntime{t}
}

// choose picks the runtime for `up` and says why.
func (t *Tool) choose(ctx context.Context) (string, error) {
	switch t.Runtime {
	case Local:
		t.say("Runtime: local processes (%s).", t.whyGiven())
		return Local, nil
	case Docker:
		if err := checkDocker(ctx); err != nil {
			return "", err
		}
		t.say("Runtime: Docker Compose (%s).", t.whyGiven())
		return Docker, nil
	}
	err := checkDocker(ctx)
	if err == nil {
		t.say("Runtime: Docker Compose (a Docker engine answers; RUNTIME=local chooses local processes).")
		return Docker, nil
	}
	var missing *dockerError
	if !errors.As(err, &missing) {
		return "", err
	}
	t.say("Runtime: local processes (%s; RUNTIME=docker chooses Docker Compose).", missing.what)
	return Local, nil
}

func (t *Tool) whyGiven() string {
	if t.explicitRuntime {
		return "RUNTIME=" + t.Runtime
	}
	return "as last time; RUNTIME chooses, `make clean` forgets"
}

// current returns the runtime of the deployment that `up` recorded.
func (t *Tool) current() (runtime, error) {
	if t.Last == nil {
		return nil, errNotUp
	}
	return t.runtime(t.Last.Runtime), nil
}

// down stops what runs and keeps its state.
func (t *Tool) down(ctx context.Context) error {
	if t.Last == nil {
		t.say("Nothing is up.")
		return nil
	}
	if err := t.runtime(t.Last.Runtime).down(ctx); err != nil {
		return err
	}
	t.say("Stopped. State, secrets and certificates are kept: `make up` goes on where it was, `make clean` removes them.")
	return nil
}

func (t *Tool) each(ctx context.Context, command, service string) error {
	r, err := t.current()
	if err != nil {
		return err
	}
	if command == "stop" {
		err = r.stop(ctx, service)
	} else {
		err = r.start(ctx, service)
	}
	if err != nil {
		return err
	}
	t.say("%s: %s done.", service, command)
	return nil
}

func (t *Tool) status(ctx context.Context) error {
	r, err := t.current()
	if err != nil {
		return err
	}
	all, err := r.status(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errDown
	}
	fmt.Fprintf(t.Out, "%s, %s\n", map[string]string{Docker: "Docker Compose", Local: "Local processes"}[t.Last.Runtime], t.Last.Site().Origin(""))
	for _, s := range all {
		fmt.Fprintf(t.Out, "  %-11s %-8s %s\n", s.Name, s.State, s.Detail)
	}
	return nil
}

func (t *Tool) logs(ctx context.Context, services []string) error {
	r, err := t.current()
	if err != nil {
		return err
	}
	return r.logs(ctx, services)
}
