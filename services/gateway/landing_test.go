package gateway

import (
	"net/http"
	"strings"
	"testing"
)

func TestLandingPage(t *testing.T) {
	d := start(t)
	resp, body := d.do(t, "GET", testSite.Origin("")+"/", "")
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	for _, want := range []string{
		testSite.MCPResource(), `href="` + testSite.Origin("mail") + `/"`, testSite.ClientDocument(), "john.doe@demo.example", "jane.test@demo.example", "make tour",
		`href="https://demo.localhost:8443/style.css"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none'; style-src https://demo.localhost:8443;") || strings.Contains(csp, "unsafe") {
		t.Errorf("Content-Security-Policy: %s", csp)
	}
	if strings.Contains(body, "style=") || strings.Contains(body, "<script") {
		t.Error("the page has what its own policy forbids")
	}
	resp, _ = d.do(t, "GET", testSite.Origin("")+"/style.css", "")
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/css") {
		t.Errorf("style sheet: got %d %v", resp.StatusCode, resp.Header)
	}
	for _, path := range []string{"/web/landing.html", "/other"} {
		if resp, _ := d.do(t, "GET", testSite.Origin("")+path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, resp.StatusCode)
		}
	}
}

func TestNotFoundPageShowsTheNameSafely(t *testing.T) {
	d := start(t)
	got := d.raw(t, "GET / HTTP/1.1\r\nHost: nobody.demo.localhost:8443\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 404 ") || !strings.Contains(got, "Nothing at nobody.demo.localhost:8443") || !strings.Contains(got, `href="https://demo.localhost:8443/"`) {
		t.Errorf("got %s", got)
	}
	got = d.raw(t, "GET /signing HTTP/1.1\r\nHost: login.demo.localhost:8443\r\nAccept: text/html,*/*\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 404 ") || !strings.Contains(got, "Nothing at login.demo.localhost:8443") || !strings.Contains(got, "no such page") {
		t.Errorf("a path of a browser: %s", got)
	}
	got = d.raw(t, "GET / HTTP/1.1\r\nHost: '*(a)!.demo.localhost:8443\r\nConnection: close\r\n\r\n")
	if strings.Contains(got, "'*(a)") {
		t.Errorf("the name is shown as it came: %s", got)
	}
}
