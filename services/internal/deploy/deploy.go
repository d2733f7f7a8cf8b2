// Package deploy is the operator's side of the deployment: what `make up`,
// `make down` and their kin do. It prepares what the services need
// (certificates, secrets, programs), then hands over to one of two runtimes
// that run the same services: Docker Compose, or plain local processes.
//
// Start reading at Main (one case a command), then up.go, compose.go for the
// one runtime and local.go with supervisor.go for the other.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"demo.example/services/internal/certs"
)

// Services are the parts of the deployment that run, in the order of the
// chain. Each has a directory of this name below cmd/ and a service of this
// name in compose.yaml.
var Services = []string{"gateway", "authserver", "stocksmcp", "stocksapi", "mail"}

// Tool is one invocation of the operator's tool.
type Tool struct {
	Settings
	Root    string      // the repository; empty in the container that sets up
	Last    *Deployment // what `up` recorded; nil before the first
	Environ []string
	Out     io.Writer // what the user asked for
	Err     io.Writer // progress and advice
	Now     func() time.Time
}

// usage lists the commands; make has a target for those that people use.
const usage = `usage: demo <command>

  up                 start the deployment, or bring it up to date
  down               stop it; state, secrets and certificates stay
  clean              stop it and remove everything but the certificate authority
  status             what runs, where
  logs [service]     the last lines of the logs
  stop <service>     stop one service, to see what an outage looks like
  start <service>    start it again
  rotate-keys        give the authorization server a new signing key
  audit-verify [head] check that nothing in the audit trail was altered or removed
  prepare            all of up but the start; prints the environment for Compose
  env                the running deployment as NAME=value lines
  certs              create or renew the certificates
  trust, untrust     add the certificate authority to this machine's trust store, or remove it
  setup [--install]  certificates and secrets; with --install also hand each container its share

settings, as environment variables: RUNTIME (docker or local), DOMAIN, HTTPS_PORT, RUN_DIR, CERTS_DIR, COMPOSE_PROJECT_NAME;
for up also those of the services that docs/configuration.md marks
`

// Main runs the command that args name.
func Main(ctx context.Context, args, environ []string, out, errOut io.Writer) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(out, usage)
		return nil
	}
	t, err := NewTool(environ, out, errOut)
	if err != nil {
		return err
	}
	command, args := args[0], args[1:]
	switch command {
	case "stop", "start":
		if len(args) != 1 || !isService(args[0]) {
			return fmt.Errorf("demo %s: name one of the services %v", command, Services)
		}
		return t.each(ctx, command, args[0])
	case "logs":
		if len(args) > 1 || len(args) == 1 && !isService(args[0]) {
			return fmt.Errorf("demo logs: name one of the services %v, or none", Services)
		}
		return t.logs(ctx, args)
	case "audit-verify":
		if len(args) > 1 {
			return errors.New("demo audit-verify: takes one head, as the authorization server logs it, or nothing")
		}
		return t.operate(ctx, append([]string{command}, args...)...)
	case "setup":
		switch {
		case len(args) == 0:
			_, err := t.setup()
			return err
		case len(args) == 1 && args[0] == "--install":
			return t.setupContainers()
		}
		return errors.New("demo setup: takes --install or nothing")
	}
	if len(args) != 0 {
		return fmt.Errorf("demo %s: takes no arguments", command)
	}
	switch command {
	case "up":
		return t.up(ctx)
	case "down":
		return t.down(ctx)
	case "clean":
		return t.clean(ctx)
	case "status":
		return t.status(ctx)
	case "prepare":
		return t.prepareOnly(ctx)
	case "env":
		return t.env()
	case "rotate-keys":
		return t.operate(ctx, command)
	case "certs":
		return t.certs()
	case "trust":
		return t.trust(certs.Trust)
	case "untrust":
		return t.trust(certs.Untrust)
	case "supervise": // what `up` starts in the background; not for people
		return t.supervise(ctx)
	}
	return fmt.Errorf("demo: there is no command %q\n\n%s", command, usage)
}

// NewTool reads the settings and finds the repository.
func NewTool(environ []string, out, errOut io.Writer) (*Tool, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	root := findRoot(wd)
	settings, last, err := readSettings(environ, root)
	if err != nil {
		return nil, err
	}
	return &Tool{Settings: settings, Root: root, Last: last, Environ: environ, Out: out, Err: errOut, Now: time.Now}, nil
}

// findRoot walks up from dir to the directory that holds go.work; it returns
// "" where there is none.
func findRoot(dir string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

func isService(name string) bool {
	for _, s := range Services {
		if s == name {
			return true
		}
	}
	return false
}

// say tells the user how things are going.
func (t *Tool) say(format string, args ...any) {
	fmt.Fprintf(t.Err, format+"\n", args...)
}
