package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// secretLike finds what looks like a JWT, or like 256 random bits.
var secretLike = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}|[A-Za-z0-9-]{43,}|[a-z_-]*[A-Z0-9][A-Za-z0-9_-]{42,}`)

// TestTour: the tour walks to its end, fast, and shows no credential.
func TestTour(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tour")
	if out, err := exec.Command("go", "build", "-o", program, "./cmd/tour").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "RUN_DIR="+demo.RunDir, "DOMAIN=", "HTTPS_PORT=", "CERTS_DIR=", "BROWSER=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s, want less than 5 s", took)
	}
	for _, text := range []string{
		"region USA", "region Europe", `"act": {"sub": "stocksmcp"}`, `"aud": "` + demo.MCPResource() + `"`, `"aud": "` + demo.APIResource() + `"`,
	} {
		if !strings.Contains(string(out), text) {
			t.Errorf("it does not show %s", text)
		}
	}
	for line := range strings.Lines(string(out)) {
		public := strings.Contains(line, "code_challenge=") || strings.Contains(line, `"kid"`) || strings.Contains(line, "://")
		if !public && secretLike.MatchString(line) {
			t.Errorf("it shows what looks like a credential: %s", line)
		}
		if strings.Contains(line, "\x1b[") {
			t.Fatal("it uses colours although nobody looks")
		}
	}

	cmd = exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "RUN_DIR="+t.TempDir())
	out, err = cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "make up") {
		t.Errorf("without a deployment: %v, %s; want a failure that says `make up`", err, out)
	}
}
