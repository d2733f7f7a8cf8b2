package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestModules: attacks S1 and S4. Every module's code is what its name and
// go.sum say: nothing is replaced by a directory, a fork or another version,
// neither in a module nor in the workspace. (Which compiler builds them is the
// machine's; `make vuln` reports what is known of its standard library.)
func TestModules(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root := findRoot(wd)
	var modules []string
	for _, pattern := range []string{"*/go.mod", "*/*/go.mod", "*/*/*/go.mod"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, mod := range found {
			rel, err := filepath.Rel(root, mod)
			if err != nil {
				t.Fatal(err)
			}
			modules = append(modules, filepath.ToSlash(filepath.Dir(rel)))
		}
	}
	slices.Sort(modules)
	want := []string{"e2e", "scripts/compose", "scripts/supply", "scripts/supply/canary", "scripts/tools", "services", "services/mail/mailhog"}
	if diff := cmp.Diff(want, modules); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
	files := []string{"go.work"}
	for _, m := range modules {
		files = append(files, m+"/go.mod")
		if _, err := os.Stat(filepath.Join(root, m, "go.sum")); err != nil {
			t.Error(err)
		}
	}
	replaced := regexp.MustCompile(`(?m)^\s*replace\b|=>`)
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if line := replaced.FindString(string(b)); line != "" {
			t.Errorf("%s replaces a module: %q", name, strings.TrimSpace(line))
		}
		version := regexp.MustCompile(`(?m)^go 1\.(\d+)\.\d+$`).FindStringSubmatch(string(b))
		if version == nil || version[1] < "26" {
			t.Errorf("%s: go directive %v, want 1.26 or newer", name, version)
		}
	}
}

// TestEveryCertificateIsVerified: attack G14. No program that ships has a way
// around checking whom it talks to.
func TestEveryCertificateIsVerified(t *testing.T) {
	searched := 0
	err := filepath.WalkDir("../..", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		searched++
		if strings.Contains(string(b), "InsecureSkipVerify") {
			t.Errorf("%s skips the verification of certificates", name)
		}
		return nil
	})
	if err != nil || searched < 50 {
		t.Errorf("searched %d files: %v", searched, err)
	}
}
