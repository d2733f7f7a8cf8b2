package deploy

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDeploymentRoundTrip(t *testing.T) {
	dir := t.TempDir()
	if d, err := loadDeployment(dir); d != nil || err != nil {
		t.Fatalf("before the first up: %v, %v", d, err)
	}
	want := &Deployment{Runtime: Local, Domain: "demo.example", HTTPSPort: 443, CAFile: "/ca.pem", Addresses: map[string]string{"mail": "127.0.0.1:1"}}
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := loadDeployment(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := os.WriteFile(deploymentFile(dir), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadDeployment(dir); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("a broken file: %v, want what to do", err)
	}
}

func TestDotEnv(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	vars := map[string]string{"DOMAIN": "demo.example", "RUN_DIR": "/it's $HOME/.run"}
	for range 2 { // the second time replaces the first
		if err := writeDotEnv(file, vars); err != nil {
			t.Fatal(err)
		}
	}
	if checkDocker(t.Context()) == nil {
		// Compose reads it as it was meant.
		compose := filepath.Join(filepath.Dir(file), "compose.yaml")
		if err := os.WriteFile(compose, []byte("services: {a: {image: a, labels: {x: '${DOMAIN} ${RUN_DIR}'}}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "docker", "compose", "-f", compose, "config", "--format", "json")
		cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { // the environment goes before the file
			return strings.HasPrefix(kv, "DOMAIN=") || strings.HasPrefix(kv, "RUN_DIR=")
		})
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		// config doubles dollar signs, so that its output can be read again.
		if want := "demo.example /it's $$HOME/.run"; !strings.Contains(string(out), want) {
			t.Errorf("Compose does not see %q:\n%s", want, out)
		}
	}
	if err := removeDotEnv(file); err != nil {
		t.Fatal(err)
	}
	if err := removeDotEnv(file); err != nil {
		t.Errorf("removed already: %v", err)
	}

	// Somebody's own file is left alone.
	if err := os.WriteFile(file, []byte("MINE=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeDotEnv(file, vars); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("write over somebody's file: %v", err)
	}
	if err := removeDotEnv(file); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "MINE=1\n" {
		t.Errorf("somebody's file: %q, %v", b, err)
	}
}

func TestEnvIsForAShell(t *testing.T) {
	var out bytes.Buffer
	tool := &Tool{Out: &out}
	if err := tool.env(); !errors.Is(err, errNotUp) {
		t.Errorf("before the first up: %v", err)
	}
	tool.Last = &Deployment{Runtime: Local, Domain: "demo.example", HTTPSPort: 443, CAFile: "/it's $HOME/ca.pem"}
	if err := tool.env(); err != nil {
		t.Fatal(err)
	}
	got, err := exec.CommandContext(t.Context(), "sh", "-c", out.String()+`echo "$DOMAIN $HTTPS_PORT $CA_FILE"`).Output()
	if want := "demo.example 443 /it's $HOME/ca.pem\n"; err != nil || string(got) != want {
		t.Errorf("a shell reads %q, %v; want %q", got, err, want)
	}
}
