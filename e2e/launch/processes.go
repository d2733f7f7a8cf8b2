package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"

	"demo.example/e2e/deployment"
)

// processes runs the services as local processes, by the operator's tool.
type processes struct{ tool *tool }

// recorded is what the tool writes to deployment.json.
type recorded struct {
	Domain    string            `json:"domain"`
	HTTPSPort int               `json:"https_port"`
	CAFile    string            `json:"ca_file"`
	Addresses map[string]string `json:"addresses"`
}

func (p *processes) read() (recorded, error) {
	var file recorded
	raw, err := os.ReadFile(filepath.Join(p.tool.dir, "run", "deployment.json"))
	if err == nil {
		err = json.Unmarshal(raw, &file)
	}
	return file, err
}

func (p *processes) up(ctx context.Context) (deployment.Deployment, error) {
	if err := p.command(ctx, "up"); err != nil {
		return deployment.Deployment{}, err
	}
	file, err := p.read()
	return deployment.Deployment{
		Domain: file.Domain, HTTPSPort: file.HTTPSPort, Runtime: deployment.Local,
		RunDir: filepath.Join(p.tool.dir, "run"), CAFile: file.CAFile,
	}, err
}

func (p *processes) down(ctx context.Context) error { return p.command(ctx, "down") }

func (p *processes) stop(ctx context.Context, service string) error {
	return p.command(ctx, "stop", service)
}

// runs finds a process in what `demo status` prints.
var runs = regexp.MustCompile(`(?m)^ +([a-z]+) +running +pid ([0-9]+) `)

// kill ends the process group, as the supervisor does when asking is of no use:
// the inbox has a process of its own.
func (p *processes) kill(ctx context.Context, service string) error {
	status, err := p.tool.run(ctx, "status")
	if err != nil {
		return err
	}
	for _, found := range runs.FindAllStringSubmatch(status, -1) {
		if found[1] == service {
			pid, err := strconv.Atoi(found[2])
			if err != nil {
				return err
			}
			return syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("%s does not run:\n%s", service, status)
}

func (p *processes) start(ctx context.Context, service string) error {
	return p.command(ctx, "start", service)
}

func (p *processes) command(ctx context.Context, args ...string) error {
	_, err := p.tool.run(ctx, args...)
	return err
}

func (p *processes) keepsLogs() bool { return true }

func (p *processes) logs(_ context.Context, service string) ([]byte, error) {
	logs, err := os.ReadFile(filepath.Join(p.tool.dir, "run", "logs", service+".log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return logs, err
}

func (p *processes) inside(_ context.Context, service string) (string, error) {
	file, err := p.read()
	if err == nil && file.Addresses[service] == "" {
		err = fmt.Errorf("deployment.json has no address of %s", service)
	}
	return file.Addresses[service], err
}

// mutualTLS: on one machine's loopback there is nobody in between.
func (p *processes) mutualTLS() bool { return false }

func (p *processes) published(ctx context.Context, service string) ([]string, error) {
	address, err := p.inside(ctx, service)
	return []string{address}, err
}

func (p *processes) verifyAudit(ctx context.Context) (string, error) {
	return p.tool.run(ctx, "audit-verify")
}

func (p *processes) remove(ctx context.Context) error {
	return errors.Join(p.command(ctx, "clean"), os.RemoveAll(p.tool.dir))
}
