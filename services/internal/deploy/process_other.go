//go:build !linux

package deploy

import "syscall"

// childAttributes give a service a process group of its own, so that it can be
// killed together with its children.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
