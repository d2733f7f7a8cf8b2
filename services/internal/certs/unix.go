//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package certs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lock waits until no other process works in dir. The kernel lets go of the
// lock when the process ends, however it ends, so the file may stay.
func lock(dir string) (unlock func(), err error) {
	name := filepath.Join(dir, ".lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := adopt(name, dir); err != nil {
		f.Close()
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// adopt gives file to the owner of dir when this process is root: in a
// container it usually is, and the developer could not delete the file.
func adopt(file, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return os.Lchown(file, int(owner.Uid), int(owner.Gid))
}
