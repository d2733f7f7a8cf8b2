package docs

import (
	"regexp"
	"slices"
	"testing"
)

var (
	makeTarget     = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	makeCommand    = regexp.MustCompile("(?m)(?:`|^ *\\$ |^ {2,}|^)make ([a-z0-9-]+)\\b")
	composeHead    = regexp.MustCompile(`(?ms)^services:\n(.*?)^[a-z]`)
	composeService = regexp.MustCompile(`(?m)^  ([a-z]+):`)
	serviceRow     = regexp.MustCompile(`(?m)^\| \[` + "`([a-z]+)`" + `\]\(services/`)
)

// TestMakeTargets: documents tell people to run only what the Makefile has.
func TestMakeTargets(t *testing.T) {
	targets := names(makeTarget, read(t, "Makefile"))
	for _, doc := range markdownFiles(t) {
		for _, name := range names(makeCommand, read(t, doc)) {
			if !slices.Contains(targets, name) {
				t.Errorf("%s: there is no `make %s`", doc, name)
			}
		}
	}
}

// TestServices: the table of services in README.md is what Compose runs.
func TestServices(t *testing.T) {
	running := names(composeService, composeHead.FindString(read(t, "compose.yaml")))
	running = slices.DeleteFunc(running, func(name string) bool { return name == "setup" }) // it ends before the others begin
	listed := names(serviceRow, read(t, "README.md"))
	slices.Sort(running)
	slices.Sort(listed)
	if !slices.Equal(running, listed) {
		t.Errorf("README.md lists the services %v, compose.yaml has %v", listed, running)
	}
}

// names returns the first group of every match.
func names(re *regexp.Regexp, text string) (out []string) {
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}
