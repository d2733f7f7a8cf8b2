package admin

import (
	"os"
	"regexp"
	"testing"

	service "demo.example/services/internal/audit"
)

// TestKindsAreNamed: the filter offers every kind of event that there is, in
// words.
func TestKindsAreNamed(t *testing.T) {
	code, err := os.ReadFile("../../internal/audit/audit.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`Kind += "([^"]+)"`).FindAllSubmatch(code, -1)
	for _, m := range found {
		if kind := service.Kind(m[1]); nameOf(kind) == string(kind) {
			t.Errorf("%s has no name", kind)
		}
	}
	if len(found) != len(kinds) {
		t.Errorf("%d kinds are named, there are %d", len(kinds), len(found))
	}
}
