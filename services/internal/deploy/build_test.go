package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An image's build context holds the service's programs and nothing else.
func TestLayOutImages(t *testing.T) {
	tool, _ := newTestTool(t)
	built := t.TempDir()
	for _, name := range append([]string{"demo", "mailhog"}, Services...) {
		if err := os.WriteFile(filepath.Join(built, name), []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	images := t.TempDir()
	if err := tool.layOutImages(built, images); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, service := range []string{"demo", "gateway", "mail"} {
		err := filepath.WalkDir(filepath.Join(images, service), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				rel, _ := filepath.Rel(images, path)
				got = append(got, rel)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(got)
	want := []string{
		"demo/root/service", "demo/services/Dockerfile",
		"gateway/root/service", "gateway/services/Dockerfile",
		"mail/root/mailhog", "mail/root/service", "mail/services/Dockerfile",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat(filepath.Join(images, "mail/root/mailhog")); err != nil || info.Mode().Perm()&0o555 != 0o555 {
		t.Errorf("mode %v, %v: the container's user could not run it", info.Mode(), err)
	}
}

func TestSyncFile(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "sub", "to")
	for i, text := range []string{"first", "other", "longer than before"} {
		if err := os.WriteFile(from, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(from, at, at); err != nil {
			t.Fatal(err)
		}
		if err := syncFile(from, to); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(to); err != nil || string(b) != text {
			t.Errorf("%q, %v; want %q", b, err, text)
		}
	}
	before, err := os.Stat(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := syncFile(from, to); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(to); err != nil || !os.SameFile(before, after) {
		t.Errorf("an equal file was replaced (%v)", err)
	}
}

func TestRevision(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	digest := func(content, text string) string {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := revision([]string{file, file + "-missing"}, text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	base := digest("a", "x")
	if digest("a", "x") != base {
		t.Error("it is not stable")
	}
	if digest("b", "x") == base || digest("a", "y") == base {
		t.Error("it does not notice a change")
	}
}
