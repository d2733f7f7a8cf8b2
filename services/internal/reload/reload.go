// Package reload follows files that are replaced while a service runs, such as
// a certificate and its key: renewing them needs no restart and breaks no
// connection.
package reload

import (
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// checkInterval is how often, at most, the files are looked at.
const checkInterval = time.Second

// Files is what a set of files holds together, read again when one of them
// changed. Load must succeed before Get is called.
type Files[T any] struct {
	Names []string          // the files
	Read  func() (T, error) // reads and judges them
	What  string            // they hold, for the log
	Log   *slog.Logger
	Now   func() time.Time

	mu      sync.Mutex
	current T
	seen    []state // when the files were last read, whatever came of it
	checked time.Time
}

// state tells whether a file was replaced.
type state struct {
	modified time.Time
	size     int64
}

// Load reads the files for the first time.
func (f *Files[T]) Load() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checked, f.seen = f.Now(), f.state()
	var err error
	f.current, err = f.Read()
	return err
}

// Get returns what the files hold. New contents that cannot be used are
// reported once, and the old ones stay.
func (f *Files[T]) Get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.Now()
	if now.Sub(f.checked) < checkInterval {
		return f.current
	}
	f.checked = now
	s := f.state()
	if slices.Equal(s, f.seen) {
		return f.current
	}
	f.seen = s
	next, err := f.Read()
	if err != nil {
		f.Log.Error("the new "+f.What+" cannot be used; the old one stays", "error", err)
		return f.current
	}
	f.Log.Info(f.What + " renewed")
	f.current = next
	return next
}

// state describes the files; one that cannot be looked at counts as empty.
func (f *Files[T]) state() []state {
	all := make([]state, len(f.Names))
	for i, name := range f.Names {
		if info, err := os.Stat(name); err == nil {
			all[i] = state{info.ModTime(), info.Size()}
		}
	}
	return all
}
