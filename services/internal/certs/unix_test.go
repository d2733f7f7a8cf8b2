//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package certs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A container's root makes the files in a directory of the developer's.
func TestFilesBelongToTheOwnerOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const developer = 12345
	home := t.TempDir()
	if err := os.Chown(home, developer, developer); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "certs") // missing: it belongs to the owner of home then
	ensure(t, dir, "demo.localhost", now)
	entries, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(entries, dir, filepath.Join(dir, ".lock")) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != developer || owner.Gid != developer {
			t.Errorf("%s belongs to %d:%d, want %d", file, owner.Uid, owner.Gid, developer)
		}
	}
}
