package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"demo.example/services/internal/certs"
)

// composeRuntime runs the services in containers, as compose.yaml says.
type composeRuntime struct{ *Tool }

// prepare lays out the images: programs built on this machine, so that no
// registry is asked for anything.
func (c *composeRuntime) prepare(ctx context.Context, _ certs.Result) error {
	arch, err := engineArch(ctx)
	if err != nil {
		return err
	}
	built, err := c.build(ctx, "linux", arch)
	if err != nil {
		return err
	}
	return c.layOutImages(built, c.images())
}

func (c *composeRuntime) images() string { return filepath.Join(c.RunDir, "images") }

// variables are what compose.yaml takes from the environment.
func (c *composeRuntime) variables(pki certs.Result) (map[string]string, error) {
	leaf, err := revision([]string{pki.CertFile})
	if err != nil {
		return nil, err
	}
	vars := map[string]string{
		"DOMAIN":               c.Domain,
		"HTTPS_PORT":           strconv.Itoa(c.HTTPSPort),
		"RUN_DIR":              c.RunDir,
		"CERTS_DIR":            c.CertsDir,
		"COMPOSE_PROJECT_NAME": c.ComposeProjectName,
		"IMAGES_DIR":           c.images(),
		"SECOND_LOOPBACK":      secondLoopback(),
		"CERT_REVISION":        leaf,
	}
	for _, name := range passedNames() {
		vars[name] = c.Passed[name] // the empty ones too: the .env file may be another deployment's
	}
	return vars, nil
}

// secondLoopback is the address that the port is published on beside
// 127.0.0.1. Where the machine has no IPv6 it is the same once more, which
// Compose drops.
func secondLoopback() string {
	all := loopbacks()
	if last := all[len(all)-1]; last == "::1" {
		return "[::1]"
	}
	return all[0]
}

// recorded returns the variables for a command that changes nothing about the
// deployment.
func (c *composeRuntime) recorded() (map[string]string, error) {
	return c.variables(certs.Result{CertFile: filepath.Join(c.CertsDir, leafFile)})
}

// command is a Compose command for this deployment.
func (c *composeRuntime) command(ctx context.Context, vars map[string]string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"compose", "--file", filepath.Join(c.Root, "compose.yaml")}, args...)...)
	cmd.Dir = c.Root
	cmd.Env = append(slices.Clone(c.Environ), environOf(vars)...)
	return cmd
}

// compose runs a Compose command and returns its output. Compose is chatty:
// the output is for errors.
func (c *composeRuntime) compose(ctx context.Context, vars map[string]string, args ...string) (string, error) {
	cmd := c.command(ctx, vars, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("docker compose %s: %w\n%s", args[0], err, lastLines(stderr.String(), 15))
	}
	return stdout.String(), nil
}

func (c *composeRuntime) up(ctx context.Context, pki certs.Result, d *Deployment) error {
	vars, err := c.variables(pki)
	if err != nil {
		return err
	}
	if c.ownsDotEnv() {
		if err := writeDotEnv(filepath.Join(c.Root, ".env"), vars); err != nil {
			return err
		}
	}
	if err := d.save(c.RunDir); err != nil { // so that `down` finds what half a start left behind
		return err
	}
	c.say("Starting the containers ...")
	_, err = c.compose(ctx, vars, "up", "--build", "--detach", "--remove-orphans", "--wait", "--wait-timeout", "90")
	if err == nil {
		return nil
	}
	all, statusErr := c.status(ctx)
	for _, s := range all {
		if s.State != "running" {
			logs, logsErr := c.compose(ctx, vars, "logs", "--no-log-prefix", "--tail", "15", s.Name)
			err = errors.Join(err, fmt.Errorf("%s: %s; the end of its log:\n%s", s.Name, s.Detail, logs), logsErr)
		}
	}
	_, downErr := c.compose(ctx, vars, "down")
	return errors.Join(err, statusErr, downErr)
}

func (c *composeRuntime) running(ctx context.Context) (bool, error) {
	vars, err := c.recorded()
	if err != nil {
		return false, err
	}
	out, err := c.compose(ctx, vars, "ps", "--services", "--status", "running")
	return strings.TrimSpace(out) != "", err
}

// simply runs a command that prints nothing worth seeing.
func (c *composeRuntime) simply(ctx context.Context, args ...string) error {
	vars, err := c.recorded()
	if err != nil {
		return err
	}
	_, err = c.compose(ctx, vars, args...)
	return err
}

func (c *composeRuntime) down(ctx context.Context) error {
	return c.simply(ctx, "down", "--remove-orphans")
}

func (c *composeRuntime) clean(ctx context.Context) error {
	if err := c.simply(ctx, "down", "--remove-orphans", "--volumes", "--rmi", "local"); err != nil {
		return err
	}
	// What older builds left untagged; the label is from services/Dockerfile.
	cmd := exec.CommandContext(ctx, "docker", "image", "prune", "--force", "--filter", "label=demo.example.deployment=mcp-oauth-demo")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker image prune: %w\n%s", err, out)
	}
	return nil
}

func (c *composeRuntime) stop(ctx context.Context, service string) error {
	return c.simply(ctx, "stop", service)
}

func (c *composeRuntime) start(ctx context.Context, service string) error {
	return c.simply(ctx, "up", "--no-deps", "--no-build", "--detach", "--wait", "--wait-timeout", "60", service)
}

func (c *composeRuntime) status(ctx context.Context) ([]ServiceStatus, error) {
	vars, err := c.recorded()
	if err != nil {
		return nil, err
	}
	out, err := c.compose(ctx, vars, "ps", "--all", "--format", "json")
	if err != nil {
		return nil, err
	}
	return parsePS(out)
}

// parsePS reads `docker compose ps --format json`: a JSON object a line. The
// one-shot setup counts when it failed.
func parsePS(out string) ([]ServiceStatus, error) {
	var all []ServiceStatus
	for line := range strings.Lines(out) {
		var p struct {
			Service, State, Health, Status string
			ExitCode                       int
		}
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			return nil, fmt.Errorf("docker compose ps: %w", err)
		}
		s := ServiceStatus{Name: p.Service, State: "stopped", Detail: p.Status}
		switch {
		case p.State == "running" && (p.Health == "" || p.Health == "healthy"):
			s.State = "running"
		case p.State == "running", p.State == "restarting", p.ExitCode != 0:
			s.State = "failed"
		case p.Service == "setup":
			continue
		}
		all = append(all, s)
	}
	return all, nil
}

func (c *composeRuntime) logs(ctx context.Context, services []string) error {
	vars, err := c.recorded()
	if err != nil {
		return err
	}
	out, err := c.compose(ctx, vars, append([]string{"logs", "--no-color", "--tail", "100"}, services...)...)
	fmt.Fprint(c.Out, out)
	return err
}

// lastLines returns the last n lines of text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
