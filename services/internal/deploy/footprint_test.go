package deploy

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestFootprint reports what each service costs when nobody asks it anything,
// and how long it takes from exec to a good /healthz; MailHog counts for
// itself. `make footprint` runs it: it builds all programs, and times mean
// something on a quiet machine alone.
//
// A service may have 15 MB resident and take 60 ms. The authorization server
// may have 32 MB: 19 MB of its memory are pages of its program, SQLite in Go
// for the most part, which the kernel maps as it reads them and drops when it
// likes; what is its own, with two databases, is 10 MB.
func TestFootprint(t *testing.T) {
	if os.Getenv("FOOTPRINT") == "" {
		t.Skip("FOOTPRINT is not set: see `make footprint`")
	}
	const (
		runs  = 10
		ready = 60 * time.Millisecond
		MB    = 1e6 / 1024 // in KiB, which /proc calls kB
	)
	resident := map[string]float64{"authserver": 32}

	tool, pki := newTestTool(t)
	local := &localRuntime{tool}
	tool.Environ = os.Environ()
	if err := os.RemoveAll(filepath.Join(tool.RunDir, "bin")); err != nil { // stand-ins
		t.Fatal(err)
	}
	if err := local.prepare(t.Context(), pki); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(tool.RunDir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := &Deployment{Runtime: Local, Domain: tool.Domain, HTTPSPort: tool.HTTPSPort, CAFile: pki.CAFile, CertsDir: tool.CertsDir}
	var err error
	if d.Addresses, err = freeAddresses(t.Context(), listeners); err != nil {
		t.Fatal(err)
	}
	for _, c := range local.children(d) {
		var times []time.Duration
		var rss, own float64
		for range runs {
			took, program := startOnce(t, c)
			times = append(times, took)
			total, anonymous := memory(t, program.Process.Pid)
			rss, own = max(rss, total), max(own, anonymous)
			if err := program.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := program.Wait(); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		slices.Sort(times)
		limit := max(15, resident[c.name])
		t.Logf("%-10s %5.1f MB resident (%4.1f its own), ready after %v (median of %d; best %v)",
			c.name, rss/MB, own/MB, times[runs/2].Round(time.Millisecond), runs, times[0].Round(time.Millisecond))
		if rss/MB > limit {
			t.Errorf("%s: %.1f MB resident, want at most %.0f", c.name, rss/MB, limit)
		}
		if times[0] > ready {
			t.Errorf("%s is ready after %v at best, want %v", c.name, times[0], ready)
		}
	}
}

// startOnce starts a service and waits until it is healthy.
func startOnce(t *testing.T, c child) (time.Duration, *exec.Cmd) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.program)
	for name, value := range c.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for get(ctx, client, c.health) != nil {
		if ctx.Err() != nil {
			t.Fatalf("%s is not healthy after 10 s", c.name)
		}
		<-tick.C
	}
	return time.Since(began), cmd
}

// memory returns what is resident of a process, and what of it no file backs,
// in kB.
func memory(t *testing.T, pid int) (resident, anonymous float64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	read := func(name string) float64 {
		m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(b)
		if m == nil {
			t.Fatalf("/proc has no %s", name)
		}
		n, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return read("VmRSS"), read("RssAnon")
}
