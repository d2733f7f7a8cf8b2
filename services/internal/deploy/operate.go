package deploy

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// operate has the authorization server's own program, in the environment of the
// one that runs, do something with its files: rotate-keys puts a new signing
// key into its database, audit-verify checks its audit trail.
func (t *Tool) operate(ctx context.Context, args ...string) error {
	r, err := t.current()
	if err != nil {
		return err
	}
	out, err := r.exec(ctx, "authserver", args...)
	if err != nil {
		return err
	}
	fmt.Fprint(t.Out, out)
	return nil
}

// exec runs a subcommand of a service beside the one that serves, and returns
// what it says.
func (c *composeRuntime) exec(ctx context.Context, service string, args ...string) (string, error) {
	vars, err := c.recorded()
	if err != nil {
		return "", err
	}
	cmd := c.command(ctx, vars, append([]string{"exec", "--no-TTY", service, "/service"}, args...)...)
	return output(cmd, service+" "+args[0])
}

func (l *localRuntime) exec(ctx context.Context, service string, args ...string) (string, error) {
	for _, c := range l.children(l.Last) {
		if c.name != service {
			continue
		}
		cmd := exec.CommandContext(ctx, filepath.Clean(c.program), args...)
		cmd.Env = environOf(c.env)
		return output(cmd, service+" "+args[0])
	}
	return "", fmt.Errorf("there is no service %q", service)
}

func output(cmd *exec.Cmd, what string) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", what, err, out)
	}
	return string(out), nil
}
