package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/compose"

	"demo.example/e2e/deployment"
)

// containers runs compose.yaml with testcontainers, which embeds Compose: the
// machine needs an engine and nothing else.
type containers struct {
	tool  *tool
	env   map[string]string      // what compose.yaml needs, once prepared
	stack *compose.DockerCompose // nil before the first start
}

// prepareTestcontainers sets what testcontainers reads once from the
// environment, unless the caller has set it.
func prepareTestcontainers() {
	log.SetDefault(discard{})
	setDefault := func(name, value string) {
		if os.Getenv(name) == "" {
			_ = os.Setenv(name, value) // fails on malformed names alone
		}
	}
	// Its reaper is an image from a registry; Close does the same.
	setDefault("TESTCONTAINERS_RYUK_DISABLED", "true")
	if _, err := os.Stat("/.dockerenv"); err == nil {
		// It takes this machine for a container, and would look for published
		// ports on the bridge.
		setDefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
	}
}

// discard keeps testcontainers' running commentary out of the tests' output.
type discard struct{}

func (discard) Printf(string, ...any) {}

// engineAnswers reports whether containers can be run here.
func engineAnswers(ctx context.Context) bool {
	prepareTestcontainers()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return false
	}
	defer provider.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return provider.Health(ctx) == nil
}

func (c *containers) up(ctx context.Context) (deployment.Deployment, error) {
	prepareTestcontainers()
	var options []compose.ComposeStackOption
	if c.env == nil {
		if err := c.prepare(ctx); err != nil {
			return deployment.Deployment{}, err
		}
	} else {
		options = append(options, compose.WithStackReaders(strings.NewReader(c.asBuilt())))
	}
	// The first file says where relative paths start.
	options = append([]compose.ComposeStackOption{
		compose.WithStackFiles(filepath.Join(c.tool.root, "compose.yaml")),
		compose.StackIdentifier(c.project()),
	}, options...)
	var err error
	if c.stack, err = compose.NewDockerComposeWith(options...); err != nil {
		return deployment.Deployment{}, err
	}
	c.stack.WithEnv(c.env)
	if err := c.stack.Up(ctx, compose.Wait(true)); err != nil {
		return deployment.Deployment{}, err
	}
	port, err := strconv.Atoi(c.env["HTTPS_PORT"])
	if err != nil {
		return deployment.Deployment{}, err
	}
	d := deployment.Deployment{
		Domain: c.env["DOMAIN"], HTTPSPort: port, Runtime: deployment.Docker,
		RunDir: c.env["RUN_DIR"], CAFile: filepath.Join(c.env["CERTS_DIR"], "ca.pem"),
	}
	return d, d.Save() // as `make up` does, for the tour
}

// prepare has the operator's tool make certificates, secrets and programs, and
// takes over what it prints for Compose.
func (c *containers) prepare(ctx context.Context) error {
	printed, err := c.tool.run(ctx, "prepare")
	if err != nil {
		return err
	}
	c.env = deployment.Variables(strings.Split(strings.TrimSpace(printed), "\n"))
	for name, value := range deployment.Variables(c.tool.environ) {
		c.env[name] = value
	}
	return nil
}

func (c *containers) project() string { return c.env["COMPOSE_PROJECT_NAME"] }

// asBuilt overrides compose.yaml to start the images that are there. Packing
// their contents again takes half a minute under the race detector.
func (c *containers) asBuilt() string {
	var b strings.Builder
	b.WriteString("services:\n")
	for _, service := range c.stack.Services() {
		fmt.Fprintf(&b, "  %[1]s: {build: !reset null, image: %[2]s-%[1]s, pull_policy: never}\n", service, c.project())
	}
	return b.String()
}

func (c *containers) down(ctx context.Context) error {
	return c.takeDown(ctx, compose.RemoveOrphans(true))
}

func (c *containers) takeDown(ctx context.Context, options ...compose.StackDownOption) error {
	if c.stack == nil {
		return nil
	}
	return errors.Join(c.stack.Down(ctx, options...), c.stack.Close())
}

func (c *containers) stop(ctx context.Context, service string) error {
	container, err := c.container(ctx, service)
	if err != nil {
		return err
	}
	patience := 10 * time.Second
	return container.Stop(ctx, &patience)
}

func (c *containers) kill(ctx context.Context, service string) error {
	container, err := c.container(ctx, service)
	if err != nil {
		return err
	}
	var none time.Duration
	return container.Stop(ctx, &none)
}

func (c *containers) start(ctx context.Context, service string) error {
	container, err := c.container(ctx, service)
	if err != nil {
		return err
	}
	if err := container.Start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := container.State(ctx)
		if err != nil {
			return fmt.Errorf("%s does not become healthy: %w", service, err)
		}
		if state.Health != nil && state.Health.Status == "healthy" {
			return nil
		}
		<-tick.C
	}
}

func (c *containers) keepsLogs() bool { return false }

func (c *containers) logs(ctx context.Context, service string) ([]byte, error) {
	container, err := c.container(ctx, service)
	if err != nil {
		return nil, err
	}
	r, err := container.Logs(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// inside is an address on the engine's bridge, which a Linux host reaches.
func (c *containers) inside(ctx context.Context, service string) (string, error) {
	container, err := c.container(ctx, service)
	if err != nil {
		return "", err
	}
	inspected, err := container.Inspect(ctx)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(deployment.Variables(inspected.Config.Env)["LISTEN_ADDR"])
	if err != nil {
		return "", fmt.Errorf("%s: LISTEN_ADDR: %w", service, err)
	}
	for _, network := range inspected.NetworkSettings.Networks {
		if network.IPAddress.IsValid() {
			return net.JoinHostPort(network.IPAddress.String(), port), nil
		}
	}
	return "", fmt.Errorf("%s has no address on a bridge", service)
}

func (c *containers) mutualTLS() bool { return true }

func (c *containers) published(ctx context.Context, service string) ([]string, error) {
	container, err := c.container(ctx, service)
	if err != nil {
		return nil, err
	}
	inspected, err := container.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, bindings := range inspected.NetworkSettings.Ports {
		for _, b := range bindings {
			addresses = append(addresses, net.JoinHostPort(b.HostIP.String(), b.HostPort))
		}
	}
	return addresses, nil
}

func (c *containers) verifyAudit(ctx context.Context) (string, error) {
	container, err := c.container(ctx, "authserver")
	if err != nil {
		return "", err
	}
	code, out, err := container.Exec(ctx, []string{"/service", "audit-verify"}, exec.Multiplexed())
	if err != nil {
		return "", err
	}
	said, err := io.ReadAll(out)
	if err == nil && code != 0 {
		err = fmt.Errorf("audit-verify: exit code %d: %s", code, said)
	}
	return string(said), err
}

func (c *containers) container(ctx context.Context, service string) (*testcontainers.DockerContainer, error) {
	if c.stack == nil {
		return nil, errors.New("the deployment was never started")
	}
	return c.stack.ServiceContainer(ctx, service)
}

func (c *containers) remove(ctx context.Context) error {
	return errors.Join(
		c.takeDown(ctx, compose.RemoveOrphans(true), compose.RemoveVolumes(true), compose.RemoveImagesAll),
		os.RemoveAll(c.tool.dir),
	)
}
