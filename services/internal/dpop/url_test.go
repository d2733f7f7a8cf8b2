package dpop

import (
	"testing"
)

func TestNormalURL(t *testing.T) {
	same := map[string]string{
		"HTTPS://Api.Example":             "https://api.example/",
		"https://api.example:443/a":       "https://api.example/a",
		"https://api.example:/a":          "https://api.example/a",
		"http://api.example:80/a":         "http://api.example/a",
		"https://api.example:80/a":        "https://api.example:80/a",
		"https://api.example/a/./b/../c":  "https://api.example/a/c",
		"https://api.example/%7ea%2fb%c3": "https://api.example/~a%2Fb%C3",
		"https://api.example/a//b?c=/../": "https://api.example/a//b",
		"https://api.example/a#/../x":     "https://api.example/a",
		"https://[::1]:443/":              "https://[::1]/",
	}
	for raw, want := range same {
		if got, err := normalURL(raw); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", raw, got, err, want)
		}
	}
	for _, raw := range []string{"", "api.example/a", "//api.example/a", "https:///a", "https:a", "https://u:p@api.example/", "https://api.example/%zz", "https://a b/"} {
		if got, err := normalURL(raw); err == nil {
			t.Errorf("%q is taken for %s", raw, got)
		}
	}
}
