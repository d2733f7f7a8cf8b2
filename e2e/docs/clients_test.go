package docs

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// TestClientVersions: whoever copies a command from a document or the landing
// page runs the version of the client that the tests run.
func TestClientVersions(t *testing.T) {
	var manifest struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal([]byte(read(t, "e2e/clients/package.json")), &manifest); err != nil {
		t.Fatal(err)
	}
	table := read(t, "docs/clients.md")
	for _, name := range []string{"@modelcontextprotocol/inspector", "@modelcontextprotocol/client", "mcp-remote"} {
		version := manifest.Dependencies[name]
		if !strings.Contains(table, "| "+version+" |") {
			t.Errorf("docs/clients.md: no client is listed as tested with %s, the version of %s in package.json", version, name)
		}
		command := regexp.MustCompile(regexp.QuoteMeta(name) + `@([0-9][0-9.]*[0-9])`)
		for _, doc := range append(markdownFiles(t), "services/gateway/web/landing.html") {
			for _, found := range names(command, read(t, doc)) {
				if found != version {
					t.Errorf("%s: %s@%s, but tested is %s", doc, name, found, version)
				}
			}
		}
	}
}
