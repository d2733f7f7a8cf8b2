package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/certs"
)

// Least privilege, spelled out: what each container gets to see.
func TestShares(t *testing.T) {
	pki := certs.Result{CAFile: "/certs/ca.pem", CertFile: "/certs/leaf.pem", KeyFile: "/certs/leaf-key.pem"}
	want := map[string][]string{
		"authserver": {"ca.pem", "client-admin", "client-gateway", "client-stocks-report", "client-stocks-web", "client-stocksapi", "client-stocksmcp", "key-encryption-key"},
		"gateway":    {"client-gateway", "leaf-key.pem", "leaf.pem"},
		"stocksmcp":  {"client-stocksmcp"},
		"stocksapi":  {"client-stocksapi"},
		"mail":       nil,
	}
	internal := map[string]string{
		"internal.pem": "/certs/internal/%s.pem", "internal-key.pem": "/certs/internal/%s-key.pem", "internal-ca.pem": "/certs/internal/ca.pem",
	}
	got := map[string][]string{}
	for name, s := range shares {
		for file := range s.files(pki, "/run") {
			got[name] = append(got[name], file)
		}
		slices.Sort(got[name])
		if _, there := got[name]; !there {
			got[name] = nil
		}
		own := map[string]string{}
		for file, from := range internal {
			own[file] = strings.ReplaceAll(from, "%s", name)
		}
		if diff := cmp.Diff(own, internalFiles(certs.Internal{Dir: "/certs/internal"}, name)); diff != "" {
			t.Errorf("internal files of %s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
}

func TestInstall(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	files := map[string]string{"a": write(filepath.Join(from, "a"), "1"), "b": write(filepath.Join(from, "b"), "2")}
	write(filepath.Join(dir, "withdrawn"), "of an older version")
	write(filepath.Join(dir, ".new-a"), "of a run that was cut short")

	owner := os.Getuid()
	for _, a := range []string{"1", "renewed"} { // the second time replaces files that nobody may write
		write(files["a"], a)
		if err := install(dir, files, owner); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"a": a, "b": "2"}, readAll(t, dir)); diff != "" {
			t.Errorf("installed (-want +got):\n%s", diff)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "a")); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("mode: %v, %v; want 0400", info.Mode(), err)
	}
}

func TestAdoptOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives files away")
	}
	like, dir := t.TempDir(), t.TempDir()
	if err := os.Chown(like, 1000, 1001); err != nil {
		t.Fatal(err)
	}
	mine, theirs := filepath.Join(dir, "mine"), filepath.Join(dir, "theirs")
	for _, name := range []string{mine, theirs} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(theirs, 1002, 1002); err != nil {
		t.Fatal(err)
	}
	if err := adoptOwner(like, dir, mine, theirs); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint32{dir: 1000, mine: 1000, theirs: 1002} {
		if owner, err := ownerOf(name); err != nil || owner.Uid != want {
			t.Errorf("%s: %+v, %v; want user %d", name, owner, err, want)
		}
	}
}
