package deploy

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// states returns the state of each service.
func states(t *testing.T, l *localRuntime) map[string]string {
	t.Helper()
	all, err := l.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range all {
		got[s.Name] = s.State
	}
	return got
}

func allRunning() map[string]string {
	want := map[string]string{}
	for _, s := range Services {
		want[s] = stateRunning
	}
	return want
}

// start brings up a deployment of stand-ins and takes it down at the end.
func start(t *testing.T) (*localRuntime, *Deployment) {
	t.Helper()
	tool, pki := newTestTool(t)
	l := &localRuntime{tool}
	d := &Deployment{Runtime: Local, Domain: tool.Domain, HTTPSPort: tool.HTTPSPort, CAFile: pki.CAFile, CertsDir: tool.CertsDir}
	t.Cleanup(func() {
		if err := l.down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := l.up(t.Context(), pki, d); err != nil {
		t.Fatal(err)
	}
	return l, d
}

func TestLocalUpAndDown(t *testing.T) {
	l, d := start(t)
	if diff := cmp.Diff(allRunning(), states(t, l)); diff != "" {
		t.Errorf("after up (-want +got):\n%s", diff)
	}
	if err := checkEdge(t.Context(), d.Site(), d.CAFile); err != nil {
		t.Errorf("through the gateway: %v", err)
	}

	// A second up changes nothing while nothing changed.
	before, err := l.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again := *d
	again.Revision = ""
	pki, err := l.setup()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.up(t.Context(), pki, &again); err != nil {
		t.Fatal(err)
	}
	after, err := l.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("a second up restarted something (-before +after):\n%s", diff)
	}

	if err := l.down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.status(t.Context()); err == nil || !strings.Contains(err.Error(), "make up") {
		t.Errorf("status after down: %v, want what to do", err)
	}
	if _, err := os.Stat(d.ControlSocket); err == nil {
		t.Error("the socket is left behind")
	}
	if err := checkPort(t.Context(), d.HTTPSPort, Local); err != nil {
		t.Errorf("after down: %v", err)
	}
}

func TestLocalStopAndStartOneService(t *testing.T) {
	l, _ := start(t)
	if err := l.stop(t.Context(), "mail"); err != nil {
		t.Fatal(err)
	}
	want := allRunning()
	want["mail"] = stateStopped
	if diff := cmp.Diff(want, states(t, l)); diff != "" {
		t.Errorf("after stop (-want +got):\n%s", diff)
	}
	if err := l.start(t.Context(), "mail"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(allRunning(), states(t, l)); diff != "" {
		t.Errorf("after start (-want +got):\n%s", diff)
	}
	var out bytes.Buffer
	l.Out = &out
	if err := l.logs(t.Context(), []string{"mail"}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "stand-in for mail"); got != 2 {
		t.Errorf("the log shows %d starts, want 2:\n%s", got, out.String())
	}
}

// A new program is noticed, and nothing of the old run is left.
func TestLocalUpRestartsForNewPrograms(t *testing.T) {
	l, d := start(t)
	if err := os.WriteFile(filepath.Join(l.RunDir, "bin", "mailhog"), []byte("new"), 0o755); err != nil {
		t.Fatal(err)
	}
	pki, err := l.setup()
	if err != nil {
		t.Fatal(err)
	}
	next := &Deployment{Runtime: Local, Domain: d.Domain, HTTPSPort: d.HTTPSPort, CAFile: d.CAFile, CertsDir: d.CertsDir}
	if err := l.up(t.Context(), pki, next); err != nil {
		t.Fatal(err)
	}
	if next.Revision == d.Revision {
		t.Error("the revision is the same")
	}
	if diff := cmp.Diff(allRunning(), states(t, l)); diff != "" {
		t.Errorf("after up (-want +got):\n%s", diff)
	}
}

func TestLocalUpShowsWhyAServiceFailed(t *testing.T) {
	tool, pki := newTestTool(t)
	program := filepath.Join(tool.RunDir, "bin", "stocksapi")
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho 'REGION: cannot be used' >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := &localRuntime{tool}
	d := &Deployment{Runtime: Local, Domain: tool.Domain, HTTPSPort: tool.HTTPSPort, CAFile: pki.CAFile, CertsDir: tool.CertsDir}
	start := time.Now()
	err := l.up(t.Context(), pki, d)
	if err == nil {
		t.Fatal("up succeeded")
	}
	for _, want := range []string{"stocksapi", "exit status 3", "REGION: cannot be used"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	if running, _ := l.running(t.Context()); running {
		t.Error("something still runs")
	}
}

func TestFreeAddressesDiffer(t *testing.T) {
	addrs, err := freeAddresses(t.Context(), listeners)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for name, addr := range addrs {
		if seen[addr] {
			t.Errorf("%s: %s was given twice", name, addr)
		}
		seen[addr] = true
	}
	if len(seen) != len(listeners) {
		t.Errorf("%d addresses, want %d", len(seen), len(listeners))
	}
}
