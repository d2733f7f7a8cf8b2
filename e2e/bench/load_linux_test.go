// Package bench_test compares what the deployment can do with programs that
// others wrote, in one run and on one core: `make bench-gateway`. What the
// authorization server can do alone is measured beside it, by `make bench`.
package bench_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// connections is how many requests are under way at a time, but for alone.
const connections = 16

// load is what to send, n times, to a program that runs on a core of its own.
type load struct {
	client  *http.Client
	request func() (*http.Request, error)
	answer  string     // that every answer must have in it
	cpu     func() int // clock ticks that the program has used so far
}

// figures are the outcome of a load.
type figures struct {
	perSecond float64
	cpu       time.Duration // a request
	median    time.Duration // from the first byte sent to the last received
}

func (f figures) String() string {
	return fmt.Sprintf("%6.0f requests/s, %5d µs of CPU each, median %v", f.perSecond, f.cpu.Microseconds(), f.median.Round(time.Microsecond))
}

// run sends the request n times and checks each answer.
func (l load) run(t *testing.T, n int) figures {
	t.Helper()
	return l.runOn(t, connections, n)
}

// alone does so one request after another: the median is what a request takes
// where nothing else goes on.
func (l load) alone(t *testing.T, n int) figures {
	t.Helper()
	return l.runOn(t, 1, n)
}

func (l load) runOn(t *testing.T, connections, n int) figures {
	t.Helper()
	var sent atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var workers sync.WaitGroup
	before, start := l.cpu(), time.Now()
	for range connections {
		workers.Go(func() {
			var mine []time.Duration
			var err error
			for sent.Add(1) <= int64(n) && err == nil {
				begin := time.Now()
				err = l.once()
				mine = append(mine, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if failed == nil {
				failed = err
			}
		})
	}
	workers.Wait()
	elapsed, ticks := time.Since(start), l.cpu()-before
	if failed != nil {
		t.Fatal(failed)
	}
	slices.Sort(took)
	return figures{
		perSecond: float64(n) / elapsed.Seconds(),
		cpu:       time.Duration(ticks) * tick / time.Duration(n),
		median:    took[len(took)/2],
	}
}

// once sends one request.
func (l load) once() error {
	req, err := l.request()
	if err != nil {
		return err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(l.answer)) {
		return fmt.Errorf("answered %d %s", resp.StatusCode, body)
	}
	return nil
}

// tick is the unit of CPU time in /proc, on every Linux.
const tick = time.Second / 100

// ticks returns the CPU time that a process has used (proc(5), /proc/pid/stat).
func ticks(pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0 // it has ended
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}

// processesOf returns the processes whose program is below dir.
func processesOf(t *testing.T, dir string) (pids []int) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && strings.HasPrefix(program, dir) {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// onCore has this process run on one core, and what it starts from then on:
// first the programs under test on the one, then the load on the other.
func onCore(t *testing.T, core int) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	mask := [16]uint64{1 << core}
	for _, task := range tasks {
		id, _ := strconv.Atoi(task.Name())
		_, _, errno := syscall.Syscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(id), unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
		if errno != 0 && errno != syscall.ESRCH { // a thread may have ended
			t.Fatalf("this needs two cores, and leave to choose between them: %v", errno)
		}
	}
}
