package admin

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestInert(t *testing.T) {
	tests := map[string]string{
		"plain é 漢字":           "plain é 漢字",
		"a\u202eb":             "a\ufffdb",
		"a\u200b\u2060\u00adb": "a\ufffd\ufffd\ufffdb",
		"a\x00\nb":             "a\ufffd\ufffdb",
		"a\xffb":               "a\ufffdb",
		"":                     "",
	}
	for in, want := range tests {
		if got := inert(in); got != want {
			t.Errorf("inert(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzInert: whatever a stranger sends, it is short and hides nothing.
func FuzzInert(f *testing.F) {
	for _, s := range []string{"", "a", "\u202e", "\xff\xfe", strings.Repeat("é", 300), "\U000e0001", "\u2800"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := inert(in)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > maxInert {
			t.Fatalf("%q", got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) }) {
			t.Fatalf("%q hides something", got)
		}
	})
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second: "1 second", 90 * time.Second: "90 seconds", time.Minute: "1 minute", 15 * time.Minute: "15 minutes", time.Hour: "1 hour",
		24 * time.Hour: "24 hours", 90 * 24 * time.Hour: "90 days", 30 * time.Hour: "30 hours",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestLink(t *testing.T) {
	if got, want := link("/admin/audit", "user", "a&b", "client", "", "before", "3"), "/admin/audit?before=3&user=a%26b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := link("/admin", "user", ""); got != "/admin" {
		t.Errorf("%q", got)
	}
}
