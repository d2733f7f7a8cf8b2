package service

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

// FuzzLog: attack G16. Whatever is logged is one line of printable ASCII, and
// can be read back.
func FuzzLog(f *testing.F) {
	for _, seed := range []string{"", "plain", "líne", "a\r\nb", "\x1b[2J", "\u009b2J", "\u202e", "\x7f", "\xff\xfe", "\U0001f600", "\u2028", `"\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		Logger(&out, "test", slog.LevelInfo).Info(text, "key", text)
		line, rest, _ := strings.Cut(out.String(), "\n")
		if rest != "" {
			t.Errorf("more than one line: %q", out.String())
		}
		for _, c := range []byte(line) {
			if c < ' ' || c >= 0x7f {
				t.Errorf("%q is in the log: %q", c, line)
			}
		}
		var record map[string]string
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); strings.ReplaceAll(record["key"], "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("logged %q, want %q", record["key"], want)
		}
	})
}
