package authserver

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// How much is measured. The rows take turns, and the best turn of each counts:
// what else the machine does only ever adds.
const (
	benchConns    = 16
	benchRequests = 6000 // a turn
	benchTurns    = 5
)

// benchRow is what is measured and what came of it.
type benchRow struct {
	name string
	sign *server // signs, without HTTP
	addr string
	next func() func() []byte // for a connection: the requests that it sends

	cpu, allocs, kB, p50, p99 float64 // a request; µs, and ms of waiting

	turns []float64 // cpu of each
}

// rateOf returns which part of another row's rate this one has: the median of
// what the turns say, since what else the machine does changes from one to the
// next.
func (r *benchRow) rateOf(other *benchRow) float64 {
	var ratios []float64
	for i, cpu := range r.turns {
		ratios = append(ratios, other.turns[i]/cpu)
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func measure(t *testing.T, table []*benchRow) {
	t.Helper()
	for range benchTurns {
		for _, r := range table {
			if err := r.turn(); err != nil {
				t.Fatalf("%s: %v", r.name, err)
			}
		}
	}
}

func (r *benchRow) turn() error {
	var before, after runtime.MemStats
	runtime.GC() // of what others left
	runtime.ReadMemStats(&before)
	spent := processorTime()
	waits, err := r.load()
	if err != nil {
		return err
	}
	cpu := micros(processorTime()-spent) / benchRequests
	runtime.ReadMemStats(&after)
	r.turns = append(r.turns, cpu)
	slices.Sort(waits)
	if r.cpu == 0 || cpu < r.cpu {
		r.cpu = cpu
		r.allocs, r.kB = float64(after.Mallocs-before.Mallocs)/benchRequests, float64(after.TotalAlloc-before.TotalAlloc)/benchRequests/1024
		r.p50, r.p99 = micros(waits[len(waits)/2])/1000, micros(waits[len(waits)*99/100])/1000
	}
	return nil
}

// load sends the requests and returns how long each one waited.
func (r *benchRow) load() ([]time.Duration, error) {
	waits := make([]time.Duration, benchRequests)
	if r.sign != nil {
		for i := range waits {
			start := time.Now()
			if err := r.sign.signBench(); err != nil {
				return nil, err
			}
			waits[i] = time.Since(start)
		}
		return waits, nil
	}
	var g errgroup.Group
	for i := range benchConns {
		g.Go(func() error {
			c, err := dialBench(r.addr)
			if err != nil {
				return err
			}
			defer c.Close()
			next := r.next()
			for n := i; n < benchRequests; n += benchConns {
				start := time.Now()
				if err := c.do(next()); err != nil {
					return err
				}
				waits[n] = time.Since(start)
			}
			return nil
		})
	}
	return waits, g.Wait()
}

// benchConn is an HTTP client that costs next to nothing, since its time is
// counted with the server's: it sends bytes and looks for the end of a short
// answer.
type benchConn struct {
	net.Conn
	r *bufio.Reader
}

func dialBench(addr string) (benchConn, error) {
	c, err := net.Dial("tcp", addr)
	return benchConn{c, bufio.NewReader(c)}, err
}

func (c benchConn) do(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answer: %s", line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
		if len(line) == 2 {
			break
		}
	}
	body, err := c.r.Peek(length)
	if err != nil {
		return err
	}
	if bytes.Contains(body, []byte(`"active":false`)) {
		return fmt.Errorf("a live token is not active: %s", body)
	}
	_, err = c.r.Discard(length)
	return err
}

// processorTime is what this process used of the processor.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // never for oneself
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the memory of this process that is in use, in bytes.
func resident(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("resident memory is read from /proc")
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
