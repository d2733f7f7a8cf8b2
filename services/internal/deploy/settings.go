package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"demo.example/services/internal/config"
	"demo.example/services/internal/site"
)

// The two runtimes.
const (
	Docker = "docker"
	Local  = "local"
)

// Settings are read from the environment. What it leaves out is as in the
// last `up`, until `clean`: a deployment keeps its names, and with them its
// tokens and consents, without being told twice.
type Settings struct {
	site.Site
	Runtime            string `env:"RUNTIME"` // docker, local, or empty to let make up choose
	RunDir             string `env:"RUN_DIR" envDefault:".run"`
	CertsDir           string `env:"CERTS_DIR" envDefault:"certs"`
	ComposeProjectName string `env:"COMPOSE_PROJECT_NAME"`

	Passed map[string]string // settings for the services, by name: those that are not the default

	explicitRuntime bool // RUNTIME came from the environment, not from the last `up`
}

// Validate reports the first setting that cannot be used, by its variable.
func (s Settings) Validate() error {
	if s.Runtime != "" && s.Runtime != Docker && s.Runtime != Local {
		return fmt.Errorf("RUNTIME: %q is neither docker nor local; leave it out to let `make up` choose", s.Runtime)
	}
	if err := s.Site.Validate(); err != nil {
		return err
	}
	if !s.Reserved() { // the inbox would refuse to start, later and less clearly
		return fmt.Errorf("DOMAIN: %s can be somebody's real name, and this is a demonstration whose inbox shows every passcode; "+
			"choose a name below localhost, test or example", s.Domain)
	}
	return nil
}

// readSettings returns the settings and what the last `up` recorded. Relative
// directories are below root.
func readSettings(environ []string, root string) (Settings, *Deployment, error) {
	given := map[string]string{}
	for _, kv := range environ {
		// `make up DOMAIN=` means "not set", as an absent DOMAIN does.
		if name, value, _ := strings.Cut(kv, "="); value != "" {
			given[name] = value
		}
	}
	runDir := given["RUN_DIR"]
	if runDir == "" {
		runDir = ".run"
	}
	if !filepath.IsAbs(runDir) {
		if root == "" {
			return Settings{}, nil, errors.New("there is no go.work in this directory or above: run this inside the repository")
		}
		runDir = filepath.Join(root, runDir)
	}
	last, err := loadDeployment(runDir)
	if err != nil {
		return Settings{}, nil, err
	}
	defaults := map[string]string{}
	if last != nil {
		defaults = map[string]string{
			"RUNTIME": last.Runtime, "DOMAIN": last.Domain, "HTTPS_PORT": strconv.Itoa(last.HTTPSPort),
			"CERTS_DIR": last.CertsDir, "COMPOSE_PROJECT_NAME": last.Project,
		}
	}
	for name, value := range defaults {
		if given[name] == "" && value != "" {
			given[name] = value
		}
	}
	var merged []string
	for name, value := range given {
		merged = append(merged, name+"="+value)
	}
	s, err := config.Parse[Settings](merged)
	if err != nil {
		return Settings{}, nil, err
	}
	s.RunDir = runDir
	if !filepath.IsAbs(s.CertsDir) {
		s.CertsDir = filepath.Join(root, s.CertsDir)
	}
	if s.ComposeProjectName == "" {
		s.ComposeProjectName = projectName(runDir)
	}
	s.Passed = readPassed(environ, last)
	s.explicitRuntime = lookup(environ, "RUNTIME") != ""
	return s, last, nil
}

// projectName gives every run directory a Compose project of its own: two
// clones of this repository must not share volumes, for the state of one is
// encrypted with a key of which the other knows nothing.
func projectName(runDir string) string {
	sum := sha256.Sum256([]byte(runDir))
	return "mcp-oauth-demo-" + hex.EncodeToString(sum[:3])
}

// lookup returns a variable's value in environ, the last one if it is there
// twice.
func lookup(environ []string, name string) string {
	var found string
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			found = value
		}
	}
	return found
}
