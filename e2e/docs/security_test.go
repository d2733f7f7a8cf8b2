package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// attacks are the ids of the attacks that security.md must have a row for.
var attacks = strings.Fields(`
	A1 A3 A4 A5 A6 A7 A8 A9 A10 A12 A13 A14 A15 A16 A18 A19
	P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11 P13 P14 P15 P16 P17 P18 P19 P20
	O1 O3 O4 O5 O6 O7 O8 O10 O11 O12 O13 O14 O15 O16 O17 O18
	D1 D2 D3 D5 D6 D7 D8 D9 D10 D11 D12 D13 D15 D17 D18
	R1 R2 R4 R5 R6 R7 R8 R10 R11 R12 R13 R16 R17
	X1 X2 X3 X4 X5 X6 X7 X9 X10 X11 X13 X14
	J1 J2 J3 J4 J5 J7 J9 J10 J11
	G1 G3 G4 G5 G6 G7 G8 G10 G11 G12 G13 G14 G15 G16 G17
	C1 C2 C3 C4 C5 C7 C9 C10 C11
	S1 S2 S3 S4 S5`)

var (
	// attackRow is a row of a table of security.md: id, what must hold,
	// severity, tests, remarks.
	attackRow = regexp.MustCompile(`(?m)^\| ([A-Z][0-9]+) \| ([^|]+) \| ([^|]*) \| ([^|]*)\| ([^|]*)\|$`)
	// testLink is a link to a test, with the subtest named after it.
	testLink = regexp.MustCompile("\\[`((?:Test|Fuzz)\\w+)`\\]\\(([^)#]+_test\\.go)#L[0-9]+\\)(?: (\"[^\"]+\"))?")
	// excuse is what a row without a test has to say.
	excuse = regexp.MustCompile(`(?:does not apply|not covered): \w+`)
)

// TestSecurity: security.md has one row for each attack, and each row leads to
// tests that name the attack, or says why there is none. (TestLinks holds the
// line numbers.)
func TestSecurity(t *testing.T) {
	const doc = "docs/security.md"
	seen := map[string]bool{}
	for _, row := range attackRow.FindAllStringSubmatch(read(t, doc), -1) {
		id, severity, tests, remarks := row[1], row[3], row[4], row[5]
		switch {
		case seen[id]:
			t.Errorf("%s: %s is there twice", doc, id)
		case !slices.Contains(attacks, id):
			t.Errorf("%s: there is no attack %s", doc, id)
		case !slices.Contains([]string{"C", "H", "M", "L"}, severity):
			t.Errorf("%s: the severity of %s is %q", doc, id, severity)
		}
		seen[id] = true
		links := testLink.FindAllStringSubmatch(tests, -1)
		if len(links) == 0 && !excuse.MatchString(remarks) {
			t.Errorf(`%s: %s has neither a test nor "does not apply: …" or "not covered: …"`, doc, id)
		}
		for _, l := range links {
			checkNamed(t, id, filepath.Join(filepath.Dir(doc), l[2]), l[1], l[3])
		}
	}
	for _, id := range attacks {
		if !seen[id] {
			t.Errorf("%s: there is no row for %s", doc, id)
		}
	}
}

// checkNamed reports a test in which, or above which, a reader does not find
// the attack, or not the quoted subtest.
func checkNamed(t *testing.T, id, file, test, subtest string) {
	t.Helper()
	code := read(t, file)
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, code, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	body := "" // with the comment above
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == test {
			body = code[fset.Position(fn.Pos()).Offset:fset.Position(fn.End()).Offset] + fn.Doc.Text()
		}
	}
	if !regexp.MustCompile(`\b` + id + `\b`).MatchString(body) {
		t.Errorf("%s: %s does not name the attack %s: say so in its comment or the name of a subtest", file, test, id)
	}
	if !strings.Contains(body, subtest) {
		t.Errorf("%s: %s has no subtest %s for %s", file, test, subtest, id)
	}
}
