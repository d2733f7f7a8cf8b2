//go:build !linux

package mail

import "os/exec"

// dieWithParent has no counterpart outside Linux: after a kill that the
// service cannot notice, MailHog keeps its ports until it is stopped by hand.
func dieWithParent(*exec.Cmd) {}
