package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// configured are the packages that read settings, with the titles of their
// tables.
var configured = []struct{ title, dir string }{
	{"All services", "services/internal/site"},
	{"Between services", "services/internal/mtls"},
	{"gateway", "services/gateway"},
	{"authserver", "services/authserver"},
	{"stocksmcp", "services/stocksmcp"},
	{"stocksapi", "services/stocksapi"},
	{"mail", "services/mail"},
	{"make", "services/internal/deploy"},
}

// meanings are for the settings that the code does not comment on one by one:
// their names say enough to whoever reads the code.
var meanings = map[string]string{
	"LISTEN_ADDR":           "address to listen on",
	"LOG_LEVEL":             "`debug`, `info`, `warn` or `error`",
	"AUTHSERVER_URL":        "where the authorization server is reached",
	"STOCKSMCP_URL":         "where the MCP server is reached",
	"STOCKSAPI_URL":         "where the stocks API is reached",
	"MAIL_URL":              "where the inbox is reached",
	"TLS_KEY_FILE":          "its private key",
	"CLIENT_SECRET_FILE":    "file with the secret by which the service authenticates at the authorization server",
	"SMTP_ADDR":             "mail server",
	"MAIL_FROM":             "sender address of the passcode mails",
	"ALLOWED_ORIGINS":       "web pages that may call from a browser; the default is MCP Inspector's",
	"PASSCODES_PER_ADDRESS": "passcodes an hour for one email address",
	"PASSCODES_PER_IP":      "passcodes an hour from one IP address",
	"PASSCODES_TOTAL":       "passcodes an hour in all",
	"SMTP_LISTEN_ADDR":      "where MailHog accepts mail",
	"RUN_DIR":               "directory of programs, secrets, state and logs",
	"CERTS_DIR":             "directory of the certificates",
	"COMPOSE_PROJECT_NAME":  "name of the Compose project; when empty, derived from RUN_DIR",
}

var (
	secretsSection = regexp.MustCompile(`(?ms)^## Secrets\n(.*)`)
	secretRow      = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
)

// TestSecrets: the table of secrets in configuration.md has those that
// `make up` creates, in the same order, and README.md shows them.
func TestSecrets(t *testing.T) {
	const list = "services/internal/deploy/secrets.go"
	want := stringsOf(t, list, "secretNames")
	if len(want) == 0 {
		t.Fatalf("%s has no list secretNames", list)
	}
	if got := names(secretRow, secretsSection.FindString(read(t, "docs/configuration.md"))); !slices.Equal(got, want) {
		t.Errorf("docs/configuration.md lists the secrets %v, %s has %v", got, list, want)
	}
	if said := "Secrets: created " + strings.Join(want, ", ") + "."; !strings.Contains(read(t, "README.md"), said) {
		t.Errorf("README.md does not show %q", said)
	}
}

// stringsOf returns the strings in a variable's list.
func stringsOf(t *testing.T, file, variable string) (out []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, read(t, file), parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != variable {
			return true
		}
		ast.Inspect(spec, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, s)
			}
			return true
		})
		return false
	})
	return out
}

var generated = regexp.MustCompile(`(?s)(<!-- generated [^\n]*-->\n).*(\n<!-- end -->)`)

// TestConfiguration: the tables in configuration.md are what the code reads.
func TestConfiguration(t *testing.T) {
	const doc = "docs/configuration.md"
	var tables strings.Builder
	for _, c := range configured {
		fmt.Fprintf(&tables, "\n## %s\n\n| variable | default | `make up` | meaning |\n|---|---|---|---|\n%s", c.title, rows(t, c.dir))
	}
	got := read(t, doc)
	if !generated.MatchString(got) {
		t.Fatalf("%s has no place for the tables", doc)
	}
	want := generated.ReplaceAllStringFunc(got, func(old string) string {
		m := generated.FindStringSubmatch(old)
		return m[1] + tables.String() + m[2]
	})
	mend(t, doc, got, want, "the tables are out of date")
}

// handedOn are the settings that compose.yaml takes from `make up`; a test of
// package deploy compares it with the other runtime, and service by service.
var handedOn = regexp.MustCompile(`(?m)^ +([A-Z_]+): \$\{([A-Z_]+):-`)

// rows returns a row for each field with an env tag in the package.
func rows(t *testing.T, dir string) string {
	t.Helper()
	mark := map[string]string{}
	for _, m := range handedOn.FindAllStringSubmatch(read(t, "compose.yaml"), -1) {
		mark[m[1]] = "yes"
	}
	if dir == "services/internal/deploy" { // for make itself
		mark = map[string]string{"RUNTIME": "yes", "RUN_DIR": "yes", "CERTS_DIR": "yes", "COMPOSE_PROJECT_NAME": "yes"}
	}
	var out strings.Builder
	for _, field := range fields(t, dir) {
		text, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			t.Fatal(err)
		}
		tag := reflect.StructTag(text)
		name, options, _ := strings.Cut(tag.Get("env"), ",")
		if name == "" {
			continue
		}
		value := "`" + tag.Get("envDefault") + "`"
		if strings.Contains(options, "required") {
			value = "required"
		}
		meaning := describe(field, meanings[name])
		if meaning == "" {
			t.Errorf("%s: %s has no comment that says what it is for", dir, name)
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", name, strings.Replace(value, "``", "", 1), mark[name], meaning)
	}
	return out.String()
}

// describe puts together what is said about a field: at the end of its line,
// else above it, where the words may be for a whole group.
func describe(field *ast.Field, known string) string {
	remark := strings.TrimSpace(field.Comment.Text())
	switch {
	case known != "" && remark != "":
		return known + " (" + remark + ")"
	case known+remark != "":
		return known + remark
	}
	above := strings.Join(strings.Fields(field.Doc.Text()), " ")
	return strings.TrimPrefix(above, field.Names[0].Name+" is ")
}

// fields returns the tagged fields of all structs in a package, in the order
// of the files.
func fields(t *testing.T, dir string) (out []*ast.Field) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok && field.Tag != nil {
				out = append(out, field)
			}
			return true
		})
	}
	return out
}
