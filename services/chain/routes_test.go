package chain_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"demo.example/services/internal/audit"
)

// internalPaths are what the authorization server has for the other services,
// and nobody else.
var internalPaths = []string{"/healthz", "/revocations", "/approvals", "/approvals/:id", audit.Path}

// TestEveryRouteIsPublicOrInternal: attack G7. Whoever adds an endpoint to the
// authorization server has to say which it is, here or in gateway/routes.go.
func TestEveryRouteIsPublicOrInternal(t *testing.T) {
	c := startChain(t, nil)
	for host, file := range map[string]string{"login": "../authserver/routes.go", "admin": "../authserver/admin/routes.go"} {
		paths := routedPaths(t, file)
		if len(paths) < 10 {
			t.Errorf("%s: only %v were found", file, paths)
		}
		for _, path := range paths {
			internal := host == "login" && slices.Contains(internalPaths, path)
			if public := c.isPublic(t, host, path); public == internal {
				t.Errorf("%s %s: public is %t, internal is %t; a route is one of both", host, path, public, internal)
			}
		}
		for _, path := range internalPaths { // nor at the host of the administration
			if c.isPublic(t, host, path) {
				t.Errorf("%s serves %s", host, path)
			}
		}
	}
}

// routedPaths returns the paths that a file routes.
func routedPaths(t *testing.T, file string) (paths []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil && strings.HasPrefix(text, "/") {
				paths = append(paths, text)
			}
		case *ast.CallExpr:
			route, ok := n.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE", "Match", "Any", "Add"}, route.Sel.Name) {
				paths = append(paths, namedPath(t, n.Args)...)
			}
		}
		return true
	})
	slices.Sort(paths)
	return slices.Compact(paths)
}

// namedPath returns the path among the arguments of a route where it is a
// constant of another package.
func namedPath(t *testing.T, args []ast.Expr) []string {
	t.Helper()
	for _, arg := range args[:min(2, len(args))] {
		switch arg := arg.(type) {
		case *ast.BasicLit:
			return nil // found as it is
		case *ast.Ident:
			if arg.Name == "path" { // of a loop over literals
				return nil
			}
		case *ast.SelectorExpr:
			if pkg, ok := arg.X.(*ast.Ident); ok && pkg.Name == "audit" && arg.Sel.Name == "Path" {
				return []string{audit.Path}
			}
		}
	}
	t.Error("a route has a path that this test cannot read")
	return nil
}

// isPublic reports whether the gateway hands a path on.
func (c *chain) isPublic(t *testing.T, host, path string) bool {
	t.Helper()
	path = strings.NewReplacer(":client_id", "x", ":id", "x", "*", "style.css").Replace(path)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.Origin(host)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.client.Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return !strings.Contains(string(body), "There is nothing at this path of "+c.Host(host))
}
