package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"demo.example/services/internal/site"
)

// Deployment is what `up` records in RUN_DIR/deployment.json, so that the
// other commands, the tour and the tests agree with it without being told.
// It holds no secret.
type Deployment struct {
	Runtime       string            `json:"runtime"`
	Domain        string            `json:"domain"`
	HTTPSPort     int               `json:"https_port"`
	CAFile        string            `json:"ca_file"`
	CertsDir      string            `json:"certs_dir"`
	Project       string            `json:"compose_project"`
	ControlSocket string            `json:"control_socket,omitempty"` // of the local supervisor
	Addresses     map[string]string `json:"addresses,omitempty"`      // host:port of each local listener
	Revision      string            `json:"revision,omitempty"`       // of programs, settings and certificate
	Settings      map[string]string `json:"settings,omitempty"`       // for the services: those that are not the default
}

// Site is where the deployment is reached.
func (d *Deployment) Site() site.Site { return site.Site{Domain: d.Domain, HTTPSPort: d.HTTPSPort} }

func deploymentFile(runDir string) string { return filepath.Join(runDir, "deployment.json") }

// loadDeployment returns nil where nothing was ever started.
func loadDeployment(runDir string) (*Deployment, error) {
	b, err := os.ReadFile(deploymentFile(runDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := new(Deployment)
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("%s: %w; remove the file and run `make up` again", deploymentFile(runDir), err)
	}
	return d, nil
}

func (d *Deployment) save(runDir string) error {
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(deploymentFile(runDir), append(b, '\n'), 0o644)
}

// writeFile replaces a file in one step, so that no reader sees half of it.
func writeFile(name string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, as it should, once the file was renamed
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// dotEnvMark tells our .env from one that somebody wrote by hand.
const dotEnvMark = "# Written by `make up`, so that `docker compose` alone agrees with it."

// writeDotEnv records vars for Compose in the file, unless it is not ours.
func writeDotEnv(file string, vars map[string]string) error {
	old, err := os.ReadFile(file)
	switch {
	case err == nil && !strings.HasPrefix(string(old), dotEnvMark):
		return fmt.Errorf("%s was not written by `make up`: move it away, then try again", file)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	lines := []string{dotEnvMark}
	for _, kv := range environOf(vars) {
		name, value, _ := strings.Cut(kv, "=")
		// Single quotes keep Compose from expanding a dollar sign in a path.
		lines = append(lines, name+"='"+strings.ReplaceAll(value, "'", `\'`)+"'")
	}
	return writeFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// removeDotEnv removes the file if it is ours.
func removeDotEnv(file string) error {
	old, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.HasPrefix(string(old), dotEnvMark) {
		return nil
	}
	return errors.Join(err, os.Remove(file))
}

// environOf returns sorted NAME=value lines.
func environOf(vars map[string]string) []string {
	var lines []string
	for name, value := range vars {
		lines = append(lines, name+"="+value)
	}
	sort.Strings(lines)
	return lines
}

// env prints the deployment for programs, quoted for a shell.
func (t *Tool) env() error {
	if t.Last == nil {
		return errNotUp
	}
	for _, kv := range environOf(map[string]string{
		"RUNTIME": t.Last.Runtime, "DOMAIN": t.Last.Domain, "HTTPS_PORT": strconv.Itoa(t.Last.HTTPSPort),
		"CA_FILE": t.Last.CAFile, "CERTS_DIR": t.Last.CertsDir, "RUN_DIR": t.RunDir,
	}) {
		name, value, _ := strings.Cut(kv, "=")
		fmt.Fprintf(t.Out, "%s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return nil
}

var (
	errNotUp = errors.New("nothing is up yet: run `make up` first")
	errDown  = errors.New("the deployment is down: `make up` starts it again")
)
