package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// composeConfig is compose.yaml as Compose understands it.
type composeConfig struct {
	Services map[string]struct {
		Build struct {
			Context, Dockerfile string
		}
		User        string
		PullPolicy  string            `json:"pull_policy"`
		ReadOnly    bool              `json:"read_only"`
		Privileged  bool              `json:"privileged"`
		CapDrop     []string          `json:"cap_drop"`
		CapAdd      []string          `json:"cap_add"`
		SecurityOpt []string          `json:"security_opt"`
		NetworkMode string            `json:"network_mode"`
		MemLimit    string            `json:"mem_limit"`
		CPUs        float64           `json:"cpus"`
		PidsLimit   int               `json:"pids_limit"`
		Environment map[string]string `json:"environment"`
		Networks    map[string]any
		Ports       []struct {
			HostIP    string `json:"host_ip"`
			Published string
		}
		Volumes []struct {
			Type, Source, Target string
			ReadOnly             bool `json:"read_only"`
		}
		Healthcheck *struct{ Test []string }
	}
	Networks map[string]struct{ Internal bool }
}

func readCompose(t *testing.T, environ ...string) composeConfig {
	t.Helper()
	if err := checkDocker(t.Context()); err != nil {
		t.Skip(err)
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "docker", "compose", "--env-file", os.DevNull, "--file", filepath.Join(findRoot(root), "compose.yaml"), "config", "--format", "json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	cmd.Env = append(cmd.Env, environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var c composeConfig
	if err := json.Unmarshal(out, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestComposeIsLockedDown: attack S2. No seccomp profile is named, so each has
// the engine's; nothing of the machine is mounted, the engine's socket least of
// all. e2e looks at the containers themselves.
func TestComposeIsLockedDown(t *testing.T) {
	c := readCompose(t)
	var names []string
	for name, s := range c.Services {
		if s.PullPolicy != "build" || !s.ReadOnly || s.Privileged || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
			!slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || s.MemLimit == "" || s.CPUs == 0 || s.PidsLimit == 0 {
			t.Errorf("%s is not locked down: %+v", name, s)
		}
		if name == "setup" {
			if s.NetworkMode != "none" || !slices.Equal(s.CapAdd, []string{"CHOWN", "DAC_OVERRIDE"}) {
				t.Errorf("setup: network %q, capabilities %v", s.NetworkMode, s.CapAdd)
			}
			continue
		}
		names = append(names, name)
		if s.User != "65532:65532" || len(s.CapAdd) != 0 || s.Healthcheck == nil {
			t.Errorf("%s: user %q, capabilities %v, health check %v", name, s.User, s.CapAdd, s.Healthcheck)
		}
		for _, p := range s.Ports {
			if name != "gateway" || p.HostIP != "127.0.0.1" || p.Published != "8443" {
				t.Errorf("%s publishes %+v", name, p)
			}
		}
		for _, v := range s.Volumes {
			ok := v.Type == "volume" && (v.Source == name+"-secrets" && v.Target == "/run/secrets" && v.ReadOnly ||
				name == "authserver" && v.Source == "state" && v.Target == "/state" ||
				name == "stocksapi" && v.Source == "stocks-state" && v.Target == "/state")
			if !ok {
				t.Errorf("%s mounts %+v", name, v)
			}
		}
		for _, variable := range []string{"INTERNAL_CERT_FILE", "INTERNAL_KEY_FILE", "INTERNAL_CA_FILE"} {
			if !strings.HasPrefix(s.Environment[variable], "/run/secrets/internal") {
				t.Errorf("%s: %s is %q: it would speak plain http", name, variable, s.Environment[variable])
			}
		}
		for variable, value := range s.Environment {
			if strings.HasPrefix(value, "http:") {
				t.Errorf("%s: %s is %s; the services speak TLS with one another", name, variable, value)
			}
			if regexp.MustCompile(`(SECRET|PASSWORD|KEY|TOKEN)$`).MatchString(variable) {
				t.Errorf("%s: %s in the environment; secrets are files", name, variable)
			}
		}
	}
	slices.Sort(names)
	want := slices.Sorted(slices.Values(Services))
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

// Each service sees only those that it talks to.
func TestComposeNetworks(t *testing.T) {
	c := readCompose(t)
	var pairs []string
	for a := range c.Services {
		for b := range c.Services {
			if a >= b {
				continue
			}
			for network := range c.Services[a].Networks {
				if _, both := c.Services[b].Networks[network]; both {
					pairs = append(pairs, a+"-"+b)
					if !c.Networks[network].Internal {
						t.Errorf("%s and %s share %s, which has a way out", a, b, network)
					}
				}
			}
		}
	}
	slices.Sort(pairs)
	want := []string{
		"authserver-gateway", "authserver-mail", "authserver-stocksapi", "authserver-stocksmcp",
		"gateway-mail", "gateway-stocksapi", "gateway-stocksmcp", "stocksapi-stocksmcp",
	}
	if diff := cmp.Diff(want, slices.Compact(pairs)); diff != "" {
		t.Errorf("who sees whom (-want +got):\n%s", diff)
	}
}

// The two ways to an image: from source with Docker alone, or from programs
// that this machine built.
func TestComposeTargets(t *testing.T) {
	for name, s := range readCompose(t).Services {
		if s.Build.Dockerfile != "services/Dockerfile" || strings.Contains(s.Build.Context, "/images") {
			t.Errorf("%s from source: %+v", name, s.Build)
		}
	}
	for name, s := range readCompose(t, "IMAGES_DIR=/images", "SECOND_LOOPBACK=[::1]").Services {
		want := "/images/" + name
		if name == "setup" {
			want = "/images/demo"
		}
		if s.Build.Context != want {
			t.Errorf("%s prebuilt: %+v", name, s.Build)
		}
		if name == "gateway" && len(s.Ports) != 2 {
			t.Errorf("the gateway publishes %v, want both loopback families", s.Ports)
		}
	}
}

// Both ways to an image run the same user, from scratch and with the same
// labels (attacks S2, S4), without a need for BuildKit; with the programs of
// this machine no registry is asked for anything.
func TestDockerfiles(t *testing.T) {
	for name, images := range map[string][]string{
		"Dockerfile":          {"golang:1.26", "scratch"},
		"prebuilt.Dockerfile": {"scratch"},
	} {
		b, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		var from []string
		for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(string(b), -1) {
			from = append(from, m[1])
		}
		if diff := cmp.Diff(images, from); diff != "" {
			t.Errorf("%s: base images (-want +got):\n%s", name, diff)
		}
		for _, not := range []string{"# syntax", "--mount"} {
			if strings.Contains(string(b), not) {
				t.Errorf("%s: %q needs BuildKit, or an image from a registry", name, not)
			}
		}
		for _, label := range []string{"title", "description", "base.name=scratch"} {
			if !strings.Contains(string(b), "org.opencontainers.image."+label) {
				t.Errorf("%s: no label %s", name, label)
			}
		}
		if want := fmt.Sprintf("USER %d:%d", serviceUser, serviceUser); !strings.Contains(string(b), want) {
			t.Errorf("%s: want %q", name, want)
		}
	}
}

func TestParsePS(t *testing.T) {
	const out = `{"Service":"setup","State":"exited","ExitCode":0,"Status":"Exited (0) 1 second ago"}
{"Service":"gateway","State":"running","Health":"healthy","Status":"Up (healthy)"}
{"Service":"mail","State":"running","Health":"unhealthy","Status":"Up (unhealthy)"}
{"Service":"stocksapi","State":"exited","ExitCode":0,"Status":"Exited (0)"}
{"Service":"authserver","State":"restarting","ExitCode":1,"Status":"Restarting (1)"}
`
	got, err := parsePS(out)
	if err != nil {
		t.Fatal(err)
	}
	want := []ServiceStatus{
		{"gateway", stateRunning, "Up (healthy)"}, {"mail", stateFailed, "Up (unhealthy)"},
		{"stocksapi", stateStopped, "Exited (0)"}, {"authserver", stateFailed, "Restarting (1)"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := parsePS(strings.Replace(out, `"ExitCode":0`, `"ExitCode":1`, 1)); err != nil || got[0].Name != "setup" || got[0].State != stateFailed {
		t.Errorf("a failed setup: %v, %v", got, err)
	}
}
