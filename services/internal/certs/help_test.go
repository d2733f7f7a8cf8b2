package certs

import (
	"os"
	"strings"
	"testing"
)

func TestReadmeHoldsTrustHelp(t *testing.T) {
	readme, err := os.ReadFile("../../../certs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if help := TrustHelp("certs/ca.pem"); !strings.Contains(string(readme), help) {
		t.Errorf("certs/README.md lacks this text:\n%s", help)
	}
}

func TestTrustHelpNamesTheFile(t *testing.T) {
	help := TrustHelp("/home/dev/certs/ca-mcp.test.pem")
	for _, want := range []string{"--cacert /home/dev/certs/ca-mcp.test.pem", `ROOT \home\dev\certs\ca-mcp.test.pem`} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q", want)
		}
	}
	if strings.Contains(help, "CA.pem") || strings.Contains(help, "CA-windows") {
		t.Errorf("a placeholder is left:\n%s", help)
	}
}
