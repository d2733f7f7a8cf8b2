package docs

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	// guideRow is a row of the reading guide's table; goLink leads to a file.
	guideRow = regexp.MustCompile(`(?m)^\| [0-9]+ \|.*$`)
	goLink   = regexp.MustCompile(`\]\(([^)#\s]+\.go)(?:#L[0-9]+)?\)`)
	// coreSize is how documents say how much there is to read.
	coreSize = regexp.MustCompile(`[0-9]+ files with about [0-9,]+ lines of code`)
	// noCode is an empty line, or one with nothing but a comment.
	noCode = regexp.MustCompile(`^\s*(//.*)?$`)
)

// TestReadingGuide: the reading guide and README.md say truly how many files
// the guide's table leads to, and, to the nearest hundred, how many lines of
// code they have.
func TestReadingGuide(t *testing.T) {
	const guide = "docs/reading-guide.md"
	files, lines := map[string]bool{}, 0
	for _, row := range guideRow.FindAllString(read(t, guide), -1) {
		for _, target := range names(goLink, row) {
			file := path.Join(path.Dir(guide), target)
			if files[file] {
				continue
			}
			files[file] = true
			for line := range strings.SplitSeq(strings.TrimSuffix(read(t, file), "\n"), "\n") {
				if !noCode.MatchString(line) {
					lines++
				}
			}
		}
	}
	hundreds := (lines + 50) / 100
	size := fmt.Sprintf("%d files with about %d,%d00 lines of code", len(files), hundreds/10, hundreds%10)
	for _, doc := range []string{guide, "README.md"} {
		got := read(t, doc)
		if !coreSize.MatchString(got) {
			t.Errorf("%s does not say how much there is to read, as in %q", doc, size)
		}
		mend(t, doc, got, coreSize.ReplaceAllString(got, size), "the core has "+size)
	}
}
