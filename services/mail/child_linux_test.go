package mail

import (
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The service runs in a process of its own here, so that it can be killed
// without a chance to clean up.
func TestKilledServiceLeavesNoOrphan(t *testing.T) {
	env, r := environ(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(append(os.Environ(), env...), "TEST_RUN_SERVICE=1")
	cmd.Stderr = r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, r.log, func() bool { return r.health() == http.StatusOK })
	pid := r.pid(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "killed" is no news
	eventually(t, r.log, func() bool { return gone(pid) })
}

// A child that ignores SIGTERM, here because it is stopped, is killed.
func TestStuckMailHogIsKilledOnStop(t *testing.T) {
	r := start(t)
	pid := r.pid(t)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if !gone(pid) {
		t.Errorf("MailHog (process %d) still runs", pid)
	}
}

// gone reports whether a process does not exist, or is a zombie that nobody
// has waited for (in a container without an init process).
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}
