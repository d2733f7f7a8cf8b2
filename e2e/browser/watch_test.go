package browser_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// watch listens to what the browser tells a developer. Whatever no page may
// cause ends up among the problems: a message in the console, among them those
// of a content security policy, a request that failed, and a request to
// anybody but the deployment and the client that the user came from.
type watch struct {
	s *setup

	// foreign pages are not ours to keep tidy: MailHog's complains to the
	// console of what its policy forbids. Requests to third parties are held
	// against it all the same.
	foreign bool

	mu       sync.Mutex
	status   int64    // that the next document may have
	method   string   // by which the last document was asked for
	loaded   []string // types of what the last document made the browser load, itself first
	icon     network.RequestID
	problems []string
}

func newWatch(s *setup) *watch { return &watch{s: s, status: 200} }

// allow says which status the next document has.
func (w *watch) allow(status int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = status
}

// allowed is the status that the document has.
func (w *watch) allowed() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// see takes note of an event.
func (w *watch) see(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if sent, ok := event.(*network.EventRequestWillBeSent); w.foreign && (!ok || w.s.isOurs(sent.Request.URL)) {
		return
	}
	// The browser draws its own fields for dates with such pictures. Nothing
	// leaves it, and a page that had one would break its policy, which the log
	// has.
	if sent, ok := event.(*network.EventRequestWillBeSent); ok && sent.Type == network.ResourceTypeImage && strings.HasPrefix(sent.Request.URL, "data:") {
		return
	}
	if w.isIcon(event) {
		return
	}
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		w.problem("the console has a %s", e.Type)
	case *runtime.EventExceptionThrown:
		w.problem("a script failed: %s", e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		// That a document has a status of 400 is its own message.
		if e.Entry.Source == log.EntrySourceNetwork && strings.Contains(e.Entry.Text, fmt.Sprintf("status of %d", w.status)) {
			return
		}
		w.problem("the log has %s from %s: %s %s", e.Entry.Level, e.Entry.Source, e.Entry.Text, e.Entry.URL)
	case *network.EventRequestWillBeSent:
		if !w.s.isOurs(e.Request.URL) {
			w.problem("a request to a third party: %s", e.Request.URL)
		}
		if e.Type == network.ResourceTypeDocument {
			w.method, w.loaded = e.Request.Method, nil
		}
		w.loaded = append(w.loaded, e.Type.String())
	case *network.EventResponseReceived:
		if want := w.status; e.Response.Status != 200 && (e.Type != network.ResourceTypeDocument || e.Response.Status != want) {
			w.problem("%s was answered %d", e.Response.URL, e.Response.Status)
		}
	case *network.EventLoadingFailed:
		w.problem("a %s could not be loaded: %s %s", e.Type, e.ErrorText, e.BlockedReason)
	}
}

// isIcon reports whether an event is about the picture that a browser asks every
// site for. There is no web application where the one client that is a site has
// its pages, and a browser that goes on meanwhile drops the request.
func (w *watch) isIcon(event any) bool {
	icon := w.s.Origin("client") + "/favicon.ico"
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Request.URL == icon {
			w.icon = e.RequestID
		}
		return e.RequestID == w.icon
	case *network.EventResponseReceived:
		return e.RequestID == w.icon
	case *network.EventLoadingFailed:
		return e.RequestID == w.icon
	case *log.EventEntryAdded:
		return e.Entry.URL == icon
	}
	return false
}

func (w *watch) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// clean fails the test for what the browser had to say since it was last asked.
func (w *watch) clean(t *testing.T) {
	t.Helper()
	for _, p := range w.said() {
		t.Error(p)
	}
	w.forget()
}

// said is what the browser had to say since it was last asked.
func (w *watch) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.problems)
}

// forget has the browser be silent about what it said.
func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = nil
}

// last is how the last document was asked for, and what it made the browser
// load.
func (w *watch) last() (method string, loaded []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.method, append([]string(nil), w.loaded...)
}

// testWatch: a page that does what none may do is noticed, or the silence of the
// others would mean nothing.
func (s *setup) testWatch(t *testing.T) {
	b := s.window(t)
	b.do(chromedp.Navigate(`data:text/html,<meta http-equiv="Content-Security-Policy" content="style-src 'none'"><p style="color:red"><input><img src="https://third.example/x"><script>console.error("x"); nothing()</script>`))
	b.wait(`document.readyState == "complete" ? "loaded" : ""`)
	got := strings.Join(b.said(), "\n")
	b.forget()
	for _, want := range []string{
		"the console has a error", "a script failed", "Content Security Policy", "a request to a third party: https://third.example/x",
		"a Image could not be loaded: net::ERR_NAME_NOT_RESOLVED",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("nothing was said of %q: %s", want, got)
		}
	}
}

// isOurs tells whether an address is the deployment's, or the client's that the
// user is sent back to.
func (s *setup) isOurs(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return u.Scheme == "https" && (host == s.Domain || strings.HasSuffix(host, "."+s.Domain)) || strings.HasPrefix(address, s.client.redirect)
}
