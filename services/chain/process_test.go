package chain_test

import (
	"log/slog"
	"runtime/debug"
	"testing"
)

// TestRunLeavesTheProcessAlone: several services run in one process here, and
// none may decide for the others.
func TestRunLeavesTheProcessAlone(t *testing.T) {
	const percent = 123
	before := debug.SetGCPercent(percent)
	defer debug.SetGCPercent(before)
	limit, log := debug.SetMemoryLimit(-1), slog.Default()
	startChain(t, nil)
	if got := debug.SetGCPercent(percent); got != percent {
		t.Errorf("the garbage collector was set to %d", got)
	}
	if got := debug.SetMemoryLimit(-1); got != limit {
		t.Errorf("the memory limit was set to %d", got)
	}
	if slog.Default() != log {
		t.Error("the default logger was replaced")
	}
}
