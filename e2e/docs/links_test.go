package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// link is an inline link; its groups are the text and the target.
	link = regexp.MustCompile(`\[([^\]\n]*)\]\(([^)\s]+)\)`)
	// fence is a code block, in which nothing is a link.
	fence = regexp.MustCompile("(?ms)^```.*?^```$")
	// symbol is a link's text that names a declaration.
	symbol = regexp.MustCompile("^`[A-Za-z_][A-Za-z0-9_.]*`$")
	// line is a link's fragment that names a line.
	line = regexp.MustCompile(`^L[0-9]+$`)
	// heading is a section's title, and notSlug what its anchor leaves out.
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notSlug = regexp.MustCompile("[^a-z0-9 _-]")
)

// TestLinks: every relative link leads to a file of the repository, one that
// names a section to that section, and one that names a line to the
// declaration that its text names.
func TestLinks(t *testing.T) {
	for _, name := range markdownFiles(t) {
		t.Run(name, func(t *testing.T) {
			got := read(t, name)
			blocks := fence.FindAllStringIndex(got, -1)
			var want strings.Builder
			end := 0
			for _, m := range link.FindAllStringSubmatchIndex(got, -1) {
				if within(blocks, m[0]) {
					continue
				}
				target, err := checkLink(name, got[m[2]:m[3]], got[m[4]:m[5]])
				if err != nil {
					t.Errorf("[%s](%s): %v", got[m[2]:m[3]], got[m[4]:m[5]], err)
				}
				want.WriteString(got[end:m[4]] + target)
				end = m[5]
			}
			mend(t, name, got, want.String()+got[end:], "line numbers are out of date")
		})
	}
}

func within(blocks [][]int, at int) bool {
	for _, b := range blocks {
		if b[0] <= at && at < b[1] {
			return true
		}
	}
	return false
}

// checkLink returns the target of a link in doc with the right line number.
func checkLink(doc, text, target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" {
		return target, err
	}
	file := filepath.Join(root, filepath.Dir(doc), u.Path)
	if u.Path == "" {
		file = filepath.Join(root, doc)
	}
	if _, err := os.Stat(file); err != nil || u.Fragment == "" {
		return target, err
	}
	if !line.MatchString(u.Fragment) {
		return target, checkSection(file, u.Fragment)
	}
	if filepath.Ext(file) != ".go" || !symbol.MatchString(text) {
		return target, fmt.Errorf("a link to a line must name what is declared there, as `Type.Method` does")
	}
	pkg, lines, err := declarations(file)
	if err != nil {
		return target, err
	}
	name := strings.Trim(text, "`")
	at, ok := lines[strings.TrimPrefix(name, pkg+".")]
	if !ok {
		return target, fmt.Errorf("%s is not declared there", name)
	}
	return fmt.Sprintf("%s#L%d", u.Path, at), nil
}

// checkSection reports whether a document has a section with the anchor that
// GitHub gives it.
func checkSection(file, anchor string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, m := range heading.FindAllStringSubmatch(string(b), -1) {
		slug := notSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		if strings.ReplaceAll(slug, " ", "-") == anchor {
			return nil
		}
	}
	return fmt.Errorf("there is no section #%s", anchor)
}

// declarations returns a file's package and the line of each declaration at
// its top level. Methods are called Type.Method.
func declarations(file string) (pkg string, lines map[string]int, err error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
	if err != nil {
		return "", nil, err
	}
	lines = map[string]int{}
	add := func(prefix string, name *ast.Ident) { lines[prefix+name.Name] = fset.Position(name.Pos()).Line }
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			add(receiver(d), d.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					add("", spec.Name)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						add("", name)
					}
				}
			}
		}
	}
	return f.Name.Name, lines, nil
}

// receiver returns "Type." for a method and "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}
