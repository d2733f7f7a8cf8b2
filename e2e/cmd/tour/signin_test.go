package main

import (
	"net"
	"net/http"
	"testing"
)

func TestAwaitBrowserTakesTheRedirectAlone(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no browser opens
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	go func() {
		for _, path := range []string{"/favicon.ico", "/callback?code=c&state=s"} {
			if resp, err := http.Get(base + path); err == nil {
				resp.Body.Close()
			}
		}
	}()
	callback, err := awaitBrowser(t.Context(), l, "https://login.demo.localhost/authorize")
	if err != nil {
		t.Fatal(err)
	}
	if got := callback.Query().Get("code"); got != "c" {
		t.Errorf("came back with %q, want the code", callback)
	}
}

// TestBrowserCommand: attack C11, what a server says is opened as a web page or
// not at all.
func TestBrowserCommand(t *testing.T) {
	const good = "https://login.demo.localhost:8443/authorize?a=1&b=$(touch%20x)"
	for _, system := range []string{"linux", "darwin", "windows"} {
		command, err := browserCommand(system, good)
		if err != nil || command[len(command)-1] != good {
			t.Errorf("%s: %q, %v", system, command, err)
		}
		for _, bad := range []string{
			"", "javascript:alert(1)", "JavaScript:alert(1)", "file:///etc/passwd", "file://host/share", "data:text/html,x", "vbscript:x",
			"$(touch x)", "`touch x`", "-a Calculator", "--help", "calc.exe", "\\\\host\\share", "http://login.demo.localhost/", "https:", "https://", "https:///x",
			"https:opaque", " https://login.demo.localhost/", "https://user@evil.example/", "https://a\nb/", "https://login.demo.localhost/\x00",
		} {
			if command, err := browserCommand(system, bad); err == nil {
				t.Errorf("%s: %q runs %q", system, bad, command)
			}
		}
	}
}
