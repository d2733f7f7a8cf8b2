package revocation

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		line string
		want Event
		ok   bool
		err  bool
	}{
		"heartbeat":          {line: ":"},
		"comment":            {line: ": anything"},
		"between two events": {line: ""},
		"token":              {`data: {"kind":"token","id":"t1"}`, Event{Token, "t1"}, true, false},
		"grant":              {`data: {"kind":"grant","id":"g1"}`, Event{Grant, "g1"}, true, false},
		"user":               {`data: {"kind":"user","id":"u1"}`, Event{User, "u1"}, true, false},
		"client":             {`data: {"kind":"client","id":"https://a.example/c?d&e"}`, Event{Client, "https://a.example/c?d&e"}, true, false},
		"no space":           {`data:{"kind":"token","id":"t1"}`, Event{Token, "t1"}, true, false},
		"other kind":         {line: `data: {"kind":"session","id":"s"}`, err: true},
		"no kind":            {line: `data: {"id":"s"}`, err: true},
		"no id":              {line: `data: {"kind":"user"}`, err: true},
		"not a string":       {line: `data: {"kind":"user","id":7}`, err: true},
		"no JSON":            {line: `data: user u1`, err: true},
		"cut off":            {line: `data: {"kind":"token","id":"t`, err: true},
		"another field":      {line: `event: token`, err: true},
		"a page":             {line: `<html>`, err: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok, err := Parse(tt.line)
			if ok != tt.ok || (err != nil) != tt.err {
				t.Errorf("ok %t, error %v", ok, err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// FuzzParse: what can be read is one event or none, and is written in a way
// that reads the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", ":", ": 1", `data: {"kind":"token","id":"t1"}`, `data: {"kind":"client","id":"https://a/\n\u2028"}`,
		`data: {"kind":"user"}`, `data: null`, `data: []`, `data: {"kind":"grant","id":"g","id":"h"}`, "id: 7", "data", "\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		e, ok, err := Parse(line)
		if err != nil && ok || !ok && e != (Event{}) {
			t.Fatalf("%q: %v, %t, %v", line, e, ok, err)
		}
		if !ok {
			return
		}
		if !utf8.ValidString(e.ID) {
			t.Fatalf("%q: the id is not text", line)
		}
		var b bytes.Buffer
		if err := e.Write(&b); err != nil {
			t.Fatal(err)
		}
		written, end := strings.CutSuffix(b.String(), "\n\n")
		again, ok, err := Parse(written)
		if !end || strings.ContainsAny(written, "\r\n") || !ok || err != nil || again != e {
			t.Errorf("%q is written as %q", line, b.String())
		}
	})
}
