package deploy

import "syscall"

// childAttributes give a service a process group of its own, so that it can be
// killed together with its children, and end it when the supervisor is killed:
// otherwise it would hold its port and nobody would know it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
