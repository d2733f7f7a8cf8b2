package deploy

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(b)
	}
	return all
}

func TestEnsureSecrets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	created, err := ensureSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(secretNames, created); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
	first := readAll(t, dir)
	seen := map[string]bool{}
	for name, value := range first {
		if b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSuffix(value, "\n")); err != nil || len(b) != 32 {
			t.Errorf("%s: %d bytes, %v; want 32 in base64url", name, len(b), err)
		}
		if seen[value] {
			t.Errorf("%s: the same value twice", name)
		}
		seen[value] = true
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}

	// What is there stays; what was lost alone is made anew.
	if err := os.Remove(filepath.Join(dir, "client-gateway")); err != nil {
		t.Fatal(err)
	}
	created, err = ensureSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"client-gateway"}, created); diff != "" {
		t.Errorf("created the second time (-want +got):\n%s", diff)
	}
	second := readAll(t, dir)
	if second["client-gateway"] == first["client-gateway"] {
		t.Error("the lost secret came back")
	}
	delete(first, "client-gateway")
	delete(second, "client-gateway")
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error("an existing secret changed") // without the diff, which would print it
	}
}

func TestEnsureSecretsAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	created := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			names, err := ensureSecrets(dir)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, n := range names {
				created[n]++
			}
		})
	}
	wg.Wait()
	for _, n := range secretNames {
		if created[n] != 1 {
			t.Errorf("%s was created %d times", n, created[n])
		}
	}
	if got := len(readAll(t, dir)); got != len(secretNames) {
		t.Errorf("%d files, want %d: something was left behind", got, len(secretNames))
	}
}
