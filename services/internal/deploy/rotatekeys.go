package deploy

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// rotateKeys has the authorization server that runs take a new signing key:
// its own program, in its own environment, puts one into its database.
func (t *Tool) rotateKeys(ctx context.Context) error {
	r, err := t.current()
	if err != nil {
		return err
	}
	out, err := r.exec(ctx, "authserver", "rotate-keys")
	if err != nil {
		return err
	}
	fmt.Fprint(t.Err, out)
	return nil
}

// exec runs a subcommand of a service beside the one that serves, and returns
// what it says.
func (c *composeRuntime) exec(ctx context.Context, service, subcommand string) (string, error) {
	vars, err := c.recorded()
	if err != nil {
		return "", err
	}
	cmd := c.command(ctx, vars, "exec", "--no-TTY", service, "/service", subcommand)
	return output(cmd, service+" "+subcommand)
}

func (l *localRuntime) exec(ctx context.Context, service, subcommand string) (string, error) {
	for _, c := range l.children(l.Last) {
		if c.name != service {
			continue
		}
		cmd := exec.CommandContext(ctx, filepath.Clean(c.program), subcommand)
		cmd.Env = environOf(c.env)
		return output(cmd, service+" "+subcommand)
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
