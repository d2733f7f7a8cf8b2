package docs

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var (
	section  = regexp.MustCompile(`(?m)^## `)
	diagram  = regexp.MustCompile("(?ms)^```mermaid\n(sequenceDiagram.*?)^```$")
	arrow    = regexp.MustCompile(`(?m)^ *\w+ *--?(?:>>|x|\))[+-]? *\w+ *:(.*)$`)
	entry    = regexp.MustCompile(`(?m)^([0-9]+)\. (.*)$`)
	codeLink = regexp.MustCompile(`\]\([^)#\s]+\.(?:go|sql|html|json|yaml)[^)\s]*\)`)
)

// TestFlow: each arrow of each sequence diagram in flow.md is explained by the
// entry of its number, with a link to the code.
func TestFlow(t *testing.T) {
	sections := section.Split(read(t, "docs/flow.md"), -1)
	diagrams := 0
	for _, s := range sections {
		m := diagram.FindStringSubmatchIndex(s)
		if m == nil {
			continue
		}
		diagrams++
		title, _, _ := strings.Cut(s, "\n")
		t.Run(title, func(t *testing.T) { checkDiagram(t, s[m[2]:m[3]], s[m[1]:]) })
	}
	if diagrams == 0 {
		t.Error("flow.md has no sequence diagram")
	}
}

func checkDiagram(t *testing.T, diagram, text string) {
	if !strings.Contains(diagram, "\n    autonumber\n") {
		t.Error("the arrows have no numbers: add autonumber")
	}
	arrows := arrow.FindAllStringSubmatch(diagram, -1)
	for _, a := range arrows {
		if strings.ContainsAny(a[1], ";#") {
			t.Errorf("%q: Mermaid ends a message at ; and #", a[1])
		}
	}
	entries := entry.FindAllStringSubmatch(text, -1)
	if len(entries) != len(arrows) {
		t.Errorf("%d arrows and %d entries below them", len(arrows), len(entries))
	}
	for i, e := range entries {
		if e[1] != fmt.Sprint(i+1) {
			t.Errorf("entry %s comes as number %d", e[1], i+1)
		}
		if !codeLink.MatchString(e[2]) {
			t.Errorf("entry %s links to no code", e[1])
		}
	}
}
