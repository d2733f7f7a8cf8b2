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
