// Package docs holds the documentation to the code: links lead somewhere, line
// numbers are right, diagrams are explained, tables are complete. It starts
// nothing.
//
// `go test ./e2e/docs -update` mends what can be mended by a program: line
// numbers, versions and the tables of settings.
package docs

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite line numbers, versions and tables that are out of date")

// root is the repository, seen from this directory.
const root = "../.."

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mend compares a file with what it should hold: with -update it rewrites the
// file, else it reports advice.
func mend(t *testing.T, name, got, want, advice string) {
	t.Helper()
	switch {
	case got == want:
	case *update:
		if err := os.WriteFile(filepath.Join(root, name), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: %s: run `go test ./e2e/docs -update`", name, advice)
	}
}

// markdownFiles lists the documents of the repository, but nothing generated.
func markdownFiles(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !d.IsDir() && filepath.Ext(name) == ".md" {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
