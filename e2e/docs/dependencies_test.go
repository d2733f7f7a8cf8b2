package docs

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	require       = regexp.MustCompile(`(?m)^(?:require |\t)(\S+\.\S+) (v\S+)`)
	dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S+) \\|")
)

// TestDependencies: the table of dependencies has every module that the code
// imports, in the version that go.mod names, and no other.
func TestDependencies(t *testing.T) {
	const doc = "docs/decisions/0009-dependencies.md"
	used := map[string]string{} // versions by module
	for _, dir := range []string{"e2e", "services"} {
		versions := map[string]string{}
		for _, m := range require.FindAllStringSubmatch(read(t, dir+"/go.mod"), -1) {
			versions[m[1]] = m[2]
		}
		for path := range imports(t, dir) {
			module := path
			for module != "." && versions[module] == "" {
				module = filepath.ToSlash(filepath.Dir(module))
			}
			if module != "." {
				used[module] = versions[module]
			}
		}
	}
	got := read(t, doc)
	want := got
	for _, row := range dependencyRow.FindAllStringSubmatch(got, -1) {
		module, version := row[1], row[2]
		if used[module] == "" {
			t.Errorf("%s: nothing imports %s any more", doc, module)
			continue
		}
		want = strings.Replace(want, row[0], strings.Replace(row[0], version, used[module], 1), 1)
		delete(used, module)
	}
	for module, version := range used {
		t.Errorf("%s: %s %s is missing: say why it is there", doc, module, version)
	}
	mend(t, doc, got, want, "versions are out of date")
}

// imports returns the import paths in all Go files below dir.
func imports(t *testing.T, dir string) map[string]bool {
	t.Helper()
	paths := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(root, dir), func(file string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".go" {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			paths[path] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
