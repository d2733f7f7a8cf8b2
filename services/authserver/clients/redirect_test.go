package clients

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"demo.example/services/authserver/store"
)

// registered are the redirect URIs of the tests' client: a site, two programs
// on the user's machine, and an app.
var registered = store.Client{RedirectURIs: []string{
	"https://app.example/cb", "https://app.example/q?a=1&b=%2F",
	"http://localhost/cb", "http://127.0.0.1:6276/oauth/callback", "http://[::1]:1/",
	"com.example.app:/cb",
}}

func TestIsRedirectAccepts(t *testing.T) {
	for _, uri := range append([]string{
		"http://localhost:1/cb", "http://localhost:65535/cb", "http://127.0.0.1/oauth/callback", "http://127.0.0.1:50000/oauth/callback", "http://[::1]:50000/",
	}, registered.RedirectURIs...) {
		if !IsRedirect(registered, uri) {
			t.Errorf("%q is refused", uri)
		}
	}
}

// TestIsRedirectRefuses holds the strings of attacks A1, A3, A4 and A5.
func TestIsRedirectRefuses(t *testing.T) {
	tests := map[string][]string{
		"decoded twice": {
			"http://localhost%2Fcb%23@evil.example/x", "http://localhost%252Fcb%2523@evil.example/x", "http://localhost%2fcb%3f@evil.example/x",
			"https://app.example%2Fcb%23@evil.example/x", "https://app.example%252Fcb", "https://app.example/%63b",
		},
		"another path": {
			"https://app.example/cb/", "https://app.example/cb/x", "https://app.example/cb/..;/x", "https://app.example/..;/cb", "https://app.example/cb/../cb",
			"https://app.example/x/../cb", "https://app.example//cb", "https://app.example/./cb", "https://app.example/CB", "https://app.example", "https://app.example/",
			"https://app.example/cb;x", "https://app.example/cb%2F..%2Fx", "https://app.example/cb%00", "https://app.example/cb%0d%0aX:1", "https://app.example/cb%20",
			"http://localhost:1/cb/", "http://localhost:1/cb/../x", "http://localhost:1//cb", "http://localhost:1", "http://localhost:1/", "http://[::1]:1",
		},
		"another host": {
			"https://evil.example/cb", "https://app.example.evil.example/cb", "https://evil-app.example/cb", "https://evil.example/app.example/cb", "https://x.app.example/cb",
			"https://APP.example/cb", "https://app.example./cb", "https://xn--pp-uia.example/cb", "https://арр.example/cb", "//app.example/cb", "https:app.example/cb", "https:///app.example/cb",
			"https://app.example:443/cb", "https://app.example:8443/cb", "https://app.example:/cb", "https://app.example\\@evil.example/cb", "https:\\\\app.example/cb", "https://app.example%00.evil.example/cb",
			"https://evil.example\\.app.example/cb", "https://evil.example?.app.example/cb", "https://evil.example#.app.example/cb", "https://evil.example;app.example/cb",
		},
		"another loopback host": {
			"http://127.0.0.1:1/cb", "http://[::1]:1/cb", "http://localhost:1/oauth/callback", "http://127.9.9.9:6276/oauth/callback", "http://127.1:6276/oauth/callback", "http://2130706433:6276/oauth/callback",
			"http://0x7f000001:6276/oauth/callback", "http://0.0.0.0:6276/oauth/callback", "http://[::ffff:127.0.0.1]:6276/oauth/callback", "http://[0:0:0:0:0:0:0:1]:1/", "http://[::1%25lo]:1/", "http://[::]:1/",
			"http://LOCALHOST:1/cb", "http://localhost.:1/cb", "http://localhost.evil.example:1/cb", "http://localhost@evil.example/cb", "http://evil.example:1/cb", "http://x.localhost:1/cb",
		},
		"not a port": {
			"http://localhost:/cb", "http://localhost:123456/cb", "http://localhost:-1/cb", "http://localhost:1:2/cb", "http://localhost:1a/cb", "http://localhost:1@evil.example/cb", "http://localhost:１/cb", "http://localhost:%31/cb",
		},
		"another scheme": {
			"http://app.example/cb", "https://localhost/cb", "https://127.0.0.1:6276/oauth/callback", "HTTP://localhost:1/cb", "HTTPS://app.example/cb", "ws://localhost:1/cb",
			"javascript:alert(1)//http://localhost/cb", "data:text/html,http://localhost/cb", "com.example.app2:/cb", "com.example.app://cb", "COM.example.app:/cb",
		},
		"user information": {"http://u@localhost:1/cb", "http://u:p@localhost:1/cb", "http://@localhost:1/cb", "https://u@app.example/cb", "http://localhost:1@localhost:1/cb"},
		"fragment":         {"http://localhost:1/cb#x", "http://localhost:1/cb#", "https://app.example/cb#x", "https://app.example/cb#", "com.example.app:/cb#"},
		"another query": {
			"https://app.example/cb?", "https://app.example/cb?x=y", "https://app.example/q", "https://app.example/q?b=%2F&a=1", "https://app.example/q?a=1&b=/", "https://app.example/q?a=1&b=%2F&c=1",
			"http://localhost:1/cb?x=y", "http://localhost:1?x=/cb",
		},
		"around it": {"", " ", " https://app.example/cb", "https://app.example/cb ", "https://app.example/cb\n", "\thttps://app.example/cb", "http://localhost:1/cb\n", "http://localhost:1/cb\x00", "x\nhttp://localhost:1/cb", "https://app.example/cb https://evil.example/"},
	}
	for kind, uris := range tests {
		for _, uri := range uris {
			if IsRedirect(registered, uri) {
				t.Errorf("%s: %q is accepted", kind, uri)
			}
		}
	}
	if IsRedirect(store.Client{}, "") {
		t.Error("a client without redirect URIs has one")
	}
}

// FuzzIsRedirect reads what is accepted as a browser would: whatever the
// string, the code goes to a scheme, host and path that was registered.
func FuzzIsRedirect(f *testing.F) {
	for _, uri := range append([]string{"http://localhost:1/cb", "http://localhost%2Fcb%23@evil.example/x", "http://127.0.0.1:1@evil.example/oauth/callback"}, registered.RedirectURIs...) {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if !IsRedirect(registered, uri) {
			return
		}
		got, err := url.Parse(uri)
		if err != nil {
			t.Fatalf("%q is accepted and no URI: %v", uri, err)
		}
		for _, r := range registered.RedirectURIs {
			want, err := url.Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			sameHost := got.Host == want.Host || IsLoopback(r) && got.Hostname() == want.Hostname()
			if got.Scheme == want.Scheme && sameHost && got.EscapedPath() == want.EscapedPath() && got.RawQuery == want.RawQuery &&
				got.User == nil && got.Fragment == "" && got.Opaque == want.Opaque {
				return
			}
		}
		t.Fatalf("%q is accepted and leads to none of %q", uri, registered.RedirectURIs)
	})
}

func TestCheckRedirectAccepts(t *testing.T) {
	for _, uri := range []string{
		"https://app.example/cb", "https://app.example", "https://app.example:8443/cb?a=1", "https://[2001:db8::1]/cb",
		"http://localhost:6274/oauth/callback", "http://127.0.0.1/cb", "http://[::1]:1/cb", "http://localhost",
		"com.example.app:/cb", "com.example.app://host/cb?x=y", "cursor://anysphere.cursor-mcp/oauth/callback", "vscode://x/cb",
		"https://app.example/" + strings.Repeat("a", 2000-len("https://app.example/")),
	} {
		if err := CheckRedirect(uri); err != nil {
			t.Errorf("%q is refused: %v", uri, err)
		}
	}
}

// TestCheckRedirectRefuses holds the strings of attacks D1 and D2.
func TestCheckRedirectRefuses(t *testing.T) {
	tests := map[string][]string{
		"runs in the page": {
			"javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)", "java\nscript:alert(1)", "java\x00script:alert(1)", "\x01javascript:alert(1)", "javascript://app.example/%0aalert(1)",
			"data:text/html,x", " data:text/html,x", "DATA:text/html;base64,eA==", "vbscript:x", "VBScript:x", "blob:https://app.example/1", "about:blank", "view-source:https://app.example/",
		},
		"reads or starts something here": {"file:///etc/passwd", "FILE:///etc/passwd", "filesystem:https://app.example/x", "ftp://app.example/cb", "ws://app.example/cb", "mailto:john@demo.example", "tel:1", "ms-msdt:/id", "intent:x", "chrome://settings", "myapp:/cb"},
		"http":                           {"http://app.example/cb", "http://localhost.evil.example/cb", "http://127.0.0.1.evil.example/cb", "http://127.9.9.9/cb", "http://0.0.0.0/cb", "http://192.168.0.1/cb", "HTTP://localhost/cb", "http://LOCALHOST/cb", "http:///cb", "http:localhost/cb", "http://localhost:123456/cb"},
		"no host":                        {"https:///cb", "https:app.example/cb", "https://", "https://:443/cb", "https:/cb", "https://?x"},
		"wildcard":                       {"https://*.app.example/cb", "https://app.example/*", "http://localhost:*/cb", "*"},
		"fragment":                       {"https://app.example/cb#x", "https://app.example/cb#", "com.example.app:/cb#x"},
		"user information":               {"https://u@app.example/cb", "https://u:p@app.example/cb", "https://@app.example/cb", "http://u@localhost:1/cb", "http://localhost:1@evil.example/cb", "com.example.app://u@host/cb"},
		"characters":                     {"https://app.example/c b", "https://app.example/cb\n", "https://app.example/cb\r\nX: 1", "https://app.example/\x00", "https://app.example\\@evil.example/", "https://аpp.example/cb", "https://app.example/ü", "https://app.example/\x7f", "https://app.example/\u202e", "https://app.example/\xff"},
		"not absolute":                   {"", "/cb", "//app.example/cb", "app.example/cb", "localhost:8080/cb", ":/cb", "%", "https://app.example/%zz", "https://a%2eb/cb"},
		"long":                           {"https://app.example/" + strings.Repeat("a", 2001-len("https://app.example/"))},
	}
	for kind, uris := range tests {
		for _, uri := range uris {
			if err := CheckRedirect(uri); err == nil {
				t.Errorf("%s: %q is accepted", kind, uri)
			}
		}
	}
}

// FuzzCheckRedirect: whatever may be registered is plain ASCII that cannot
// break out of a header or a page, leads to https, to this machine or to an
// app, and is then accepted as it was registered.
func FuzzCheckRedirect(f *testing.F) {
	for _, uri := range append([]string{"javascript:alert(1)", "http://u@localhost/", "https://x#", "x.javascript:y"}, registered.RedirectURIs...) {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if CheckRedirect(uri) != nil {
			return
		}
		u, err := url.Parse(uri)
		switch {
		case err != nil:
			t.Fatalf("%q: %v", uri, err)
		case strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || strings.ContainsAny(uri, "\\#*"):
			t.Fatalf("%q holds a forbidden character", uri)
		case u.User != nil || u.Fragment != "":
			t.Fatalf("%q has user information or a fragment", uri)
		case u.Scheme == "https" && u.Hostname() == "":
			t.Fatalf("%q has no host", uri)
		case u.Scheme == "http" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1":
			t.Fatalf("%q sends a code over the network in the clear", uri)
		case u.Scheme != "https" && u.Scheme != "http" && !strings.Contains(u.Scheme, ".") && !slices.Contains(knownSchemes, u.Scheme):
			t.Fatalf("%q has a scheme that nobody owns", uri)
		case !IsRedirect(store.Client{RedirectURIs: []string{uri}}, uri):
			t.Fatalf("%q can be registered and is not accepted", uri)
		}
	})
}
