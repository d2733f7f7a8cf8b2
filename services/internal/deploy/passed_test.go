package deploy

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repositoryFile returns the text of a file of the repository.
func repositoryFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestEverySettingHasItsPlace: what configuration.md lists for a service is
// handed on by `make up`, and marked as such, or it is the deployment's own.
func TestEverySettingHasItsPlace(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| .* \\| (yes|) ?\\| .* \\|$")
	documented := map[string]bool{"LOG_LEVEL": true}
	for _, section := range strings.Split(repositoryFile(t, "docs/configuration.md"), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		if !isService(title) && title != "Between services" {
			continue
		}
		var marked []string
		for _, m := range rows.FindAllStringSubmatch(text, -1) {
			name := m[1]
			documented[name] = true
			if m[2] == "yes" {
				marked = append(marked, name)
			} else if !slices.Contains(decided, name) {
				t.Errorf("%s: %s is neither handed on by `make up` nor the deployment's to decide", title, name)
			}
		}
		slices.Sort(marked)
		if diff := cmp.Diff(slices.Sorted(slices.Values(passed[title])), marked); diff != "" {
			t.Errorf("%s: settings that are handed on (-passed +marked in configuration.md):\n%s", title, diff)
		}
	}
	for _, name := range append(passedNames(), decided...) {
		if !documented[name] {
			t.Errorf("%s is no setting of any service", name)
		}
		if slices.Contains(decided, name) && slices.Contains(passedNames(), name) {
			t.Errorf("%s is both handed on and decided", name)
		}
	}
}

// TestComposeHandsOn the same settings as the other runtime.
func TestComposeHandsOn(t *testing.T) {
	file := repositoryFile(t, "compose.yaml")
	handedOn := regexp.MustCompile(`(?m)^ +([A-Z_]+): \$\{([A-Z_]+):-\}$`)
	names := func(text string) (all []string) {
		for _, m := range handedOn.FindAllStringSubmatch(text, -1) {
			if m[1] != m[2] {
				t.Errorf("%s is filled with %s", m[1], m[2])
			}
			all = append(all, m[1])
		}
		return all
	}
	_, shared, _ := strings.Cut(file, "\nx-environment:")
	shared, services, _ := strings.Cut(shared, "\nservices:")
	starts := regexp.MustCompile(`(?m)^  ([a-z]+):$`).FindAllStringSubmatchIndex(services, -1)
	got := map[string][]string{}
	for i, at := range starts {
		end := len(services)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		if name := services[at[2]:at[3]]; isService(name) {
			got[name] = append(names(shared), names(services[at[0]:end])...)
			slices.Sort(got[name])
		}
	}
	want := map[string][]string{}
	for name, all := range passed {
		want[name] = slices.Sorted(slices.Values(all))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings that compose.yaml hands on (-want +got):\n%s", diff)
	}
}

func TestPassedSettings(t *testing.T) {
	last := &Deployment{Settings: map[string]string{"REQUESTS_PER_USER": "5", "LOG_LEVEL": "debug"}}
	tests := map[string]struct {
		environ []string
		last    *Deployment
		want    map[string]string
	}{
		"none":                   {nil, nil, map[string]string{}},
		"given":                  {[]string{"REQUESTS_PER_USER=5", "ALLOWED_ORIGINS=https://a.example,https://b.example"}, nil, map[string]string{"REQUESTS_PER_USER": "5", "ALLOWED_ORIGINS": "https://a.example,https://b.example"}},
		"as last time":           {nil, last, last.Settings},
		"changed":                {[]string{"LOG_LEVEL=warn"}, last, map[string]string{"REQUESTS_PER_USER": "5", "LOG_LEVEL": "warn"}},
		"empty: the default":     {[]string{"REQUESTS_PER_USER="}, last, map[string]string{"LOG_LEVEL": "debug"}},
		"the deployment decides": {[]string{"DATABASE_FILE=x", "LISTEN_ADDR=x", "USERS_FILE=x", "UNRELATED=x"}, nil, map[string]string{}},
	}
	for name, tt := range tests {
		dir := t.TempDir()
		if tt.last != nil {
			d := *tt.last
			d.Runtime, d.Domain, d.HTTPSPort = Local, "demo.localhost", 8443
			if err := d.save(dir); err != nil {
				t.Fatal(err)
			}
		}
		s, _, err := readSettings(append([]string{"RUN_DIR=" + dir}, tt.environ...), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, s.Passed); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestPassedSettingsReachTheirServices and no other, in both runtimes.
func TestPassedSettingsReachTheirServices(t *testing.T) {
	values := map[string]string{}
	for _, name := range passedNames() {
		values[name] = "value of " + name
	}
	tool, pki := newTestTool(t)
	tool.Passed = values
	for _, c := range (&localRuntime{tool}).children(&Deployment{Domain: tool.Domain, HTTPSPort: tool.HTTPSPort, Settings: values}) {
		for name, value := range values {
			want := ""
			if slices.Contains(passed[c.name], name) {
				want = value
			}
			if c.env[name] != want {
				t.Errorf("%s: %s is %q, want %q", c.name, name, c.env[name], want)
			}
		}
	}
	vars, err := (&composeRuntime{tool}).variables(pki)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(vars, func(name, _ string) bool { return !slices.Contains(passedNames(), name) })
	if diff := cmp.Diff(values, vars); diff != "" {
		t.Errorf("for Compose (-want +got):\n%s", diff)
	}
	tool.Passed = map[string]string{"LOG_LEVEL": "debug"}
	if vars, err = (&composeRuntime{tool}).variables(pki); err != nil || vars["LOG_LEVEL"] != "debug" {
		t.Errorf("LOG_LEVEL: %q, %v", vars["LOG_LEVEL"], err)
	}
	if value, there := vars["ALLOWED_ORIGINS"]; !there || value != "" {
		t.Errorf("ALLOWED_ORIGINS is not emptied: .env may have another")
	}
}

// TestLocalUpRestartsForNewSettings, or they would have no effect.
func TestLocalUpRestartsForNewSettings(t *testing.T) {
	l, d := start(t)
	pki, err := l.setup()
	if err != nil {
		t.Fatal(err)
	}
	next := &Deployment{Runtime: Local, Domain: d.Domain, HTTPSPort: d.HTTPSPort, CAFile: d.CAFile, CertsDir: d.CertsDir, Settings: map[string]string{"REQUESTS_PER_USER": "5"}}
	if err := l.up(t.Context(), pki, next); err != nil {
		t.Fatal(err)
	}
	if next.Revision == d.Revision {
		t.Error("the revision is the same")
	}
	if again, err := loadDeployment(l.RunDir); err != nil || again.Settings["REQUESTS_PER_USER"] != "5" {
		t.Errorf("not recorded for the supervisor: %+v, %v", again, err)
	}
}

// TestSettingsAreTold: what is set, and what has no effect.
func TestSettingsAreTold(t *testing.T) {
	tool, _ := newTestTool(t)
	var said bytes.Buffer
	tool.Err, tool.Environ = &said, []string{"USERS_FILE=people.json"}
	tool.Passed = map[string]string{"REQUESTS_PER_USER": "5"}
	tool.tellPassed()
	for _, want := range []string{"Settings: REQUESTS_PER_USER=5 (", "USERS_FILE has no effect"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q lacks %q", said.String(), want)
		}
	}
}
