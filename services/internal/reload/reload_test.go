package reload

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What cannot be used is reported once and changes nothing; a later good one
// counts. (The gateway's and the services' certificates are tested with it,
// where they are read.)
func TestFiles(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(a, "1")
	write(b, "2")
	var log bytes.Buffer
	now := time.Now()
	f := &Files[string]{
		Names: []string{a, b}, What: "text", Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now },
		Read: func() (string, error) {
			x, errX := os.ReadFile(a)
			y, errY := os.ReadFile(b)
			if strings.Contains(string(x), "bad") {
				return "", errors.New("bad text")
			}
			return string(x) + string(y), errors.Join(errX, errY)
		},
	}
	if err := f.Load(); err != nil {
		t.Fatal(err)
	}
	want := func(text string) {
		t.Helper()
		if got := f.Get(); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	want("12")
	write(b, "two")
	want("12") // the files are looked at once a second
	now = now.Add(checkInterval)
	want("1two")
	write(a, "bad")
	for range 3 {
		now = now.Add(checkInterval)
		want("1two")
	}
	if n := strings.Count(log.String(), "the new text cannot be used; the old one stays"); n != 1 {
		t.Errorf("the mistake is logged %d times, want once:\n%s", n, &log)
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	now = now.Add(checkInterval)
	want("1two")
	write(a, "one")
	now = now.Add(checkInterval)
	want("onetwo")
}

func TestLoadFails(t *testing.T) {
	f := &Files[int]{Read: func() (int, error) { return 0, errors.New("nothing there") }, Now: time.Now}
	if err := f.Load(); err == nil {
		t.Error("no error")
	}
}
