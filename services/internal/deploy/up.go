package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"demo.example/services/internal/certs"
)

// up is `make up`.
func (t *Tool) up(ctx context.Context) error {
	start := t.Now()
	name, err := t.choose(ctx)
	if err != nil {
		return err
	}
	r := t.runtime(name)
	if err := t.stopOther(ctx, name); err != nil {
		return err
	}
	t.tellPassed()
	running, err := r.running(ctx)
	if err != nil {
		return err
	}
	// Whoever holds the port may be the deployment itself.
	if !running || t.Last == nil || t.Last.HTTPSPort != t.HTTPSPort {
		if err := checkPort(ctx, t.HTTPSPort, name); err != nil {
			return err
		}
	}
	checkNames(ctx, t.Site, t.say)
	pki, err := t.prepare(ctx, r)
	if err != nil {
		return err
	}
	prepared := t.Now()
	d := &Deployment{
		Runtime: name, Domain: t.Domain, HTTPSPort: t.HTTPSPort,
		CAFile: pki.CAFile, CertsDir: t.CertsDir, Project: t.ComposeProjectName, Settings: t.Passed,
	}
	if err := r.up(ctx, pki, d); err != nil {
		return err
	}
	if err := checkEdge(ctx, t.Site, pki.CAFile); err != nil {
		return fmt.Errorf("every service is healthy, but %s is not reached: %w", t.Origin(""), err)
	}
	if err := d.save(t.RunDir); err != nil {
		return err
	}
	t.say("Healthy after %s, of which %s to start.", round(t.Now().Sub(start)), round(t.Now().Sub(prepared)))
	t.summary(pki)
	return nil
}

func round(d time.Duration) time.Duration {
	return d.Round(10 * time.Millisecond)
}

// stopOther stops the deployment where it runs in the other runtime, which
// would hold the port.
func (t *Tool) stopOther(ctx context.Context, name string) error {
	if t.Last == nil || t.Last.Runtime == name {
		return nil
	}
	other := t.runtime(t.Last.Runtime)
	// An engine that does not answer runs nothing that could be stopped.
	if running, _ := other.running(ctx); !running {
		return nil
	}
	t.say("Stopping the deployment that runs with RUNTIME=%s. Its state is kept, and is not shared with RUNTIME=%s.", t.Last.Runtime, name)
	return other.down(ctx)
}

// prepare makes certificates, secrets and programs.
func (t *Tool) prepare(ctx context.Context, r runtime) (certs.Result, error) {
	if err := os.MkdirAll(t.RunDir, 0o755); err != nil {
		return certs.Result{}, err
	}
	pki, err := t.setup()
	if err != nil {
		return pki, err
	}
	t.say("Building the services (the first time takes a while) ...")
	return pki, r.prepare(ctx, pki)
}

// prepareOnly prepares for Compose and prints the environment that it needs,
// for those who start the containers themselves.
func (t *Tool) prepareOnly(ctx context.Context) error {
	c := &composeRuntime{t}
	pki, err := t.prepare(ctx, c)
	if err != nil {
		return err
	}
	vars, err := c.variables(pki)
	if err != nil {
		return err
	}
	for _, kv := range environOf(vars) {
		fmt.Fprintln(t.Out, kv)
	}
	return nil
}

// clean is `make clean`. The certificate authority stays: people have told
// their browsers to trust it, and a new one would be yet another to trust.
func (t *Tool) clean(ctx context.Context) error {
	if t.Last != nil {
		if err := t.runtime(t.Last.Runtime).clean(ctx); err != nil {
			return err
		}
	}
	// The other runtime may have run before.
	if c := (&composeRuntime{t}); (t.Last == nil || t.Last.Runtime != Docker) && checkDocker(ctx) == nil {
		if err := c.clean(ctx); err != nil {
			return err
		}
	}
	if t.ownsDotEnv() {
		if err := removeDotEnv(filepath.Join(t.Root, ".env")); err != nil {
			return err
		}
	}
	// Only what is ours, by name: RUN_DIR may point anywhere.
	for _, name := range []string{"secrets", "state", "logs", "bin", "build", "images", "deployment.json"} {
		if err := os.RemoveAll(filepath.Join(t.RunDir, name)); err != nil {
			return err
		}
	}
	_ = os.Remove(t.RunDir) // if nothing else is in it
	t.say("Removed state, secrets, logs, programs and images. The certificate authority in %s is kept, because you may have made your machine trust it; `make untrust` undoes that, then remove its .pem files by hand.", t.CertsDir)
	return nil
}

// ownsDotEnv tells whether this deployment is the repository's default one:
// others must not change what `docker compose` does there.
func (t *Tool) ownsDotEnv() bool {
	return t.Root != "" && t.RunDir == filepath.Join(t.Root, ".run")
}
