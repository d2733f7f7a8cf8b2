package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"demo.example/e2e/agent"
	"demo.example/e2e/person"
	"demo.example/e2e/record"
)

// signIn is how a user signs in, and what was seen of it.
type signIn struct {
	person    *person.Person // nil when it is a person
	authorize agent.SignIn
}

// visit is one authorization: the address that the agent sent the browser to,
// and the one where it came back.
type visit struct{ asked, callback *url.URL }

// playedRedirect is where the agent would listen if the tour did not play the
// browser as well.
const playedRedirect = "http://127.0.0.1:49152/callback"

// user returns who signs in: the tour itself, or, with BROWSER=1, somebody at
// a browser, whom the agent awaits on a loopback port (RFC 8252 §7.3).
func (t *tour) user(email string) (redirectURI string, s signIn, err error) {
	if t.browser {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", s, err
		}
		s.authorize = func(ctx context.Context, address string) (*url.URL, error) {
			address += "&prompt=login" // the browser may still be signed in as somebody else
			t.say("\nSign in as %s in the browser. The passcode is in the inbox: %s/\nIf no browser opens, go to:\n  %s",
				email, t.deployment.Origin("mail"), address)
			callback, err := awaitBrowser(ctx, l, address)
			return t.visited(address, callback), err
		}
		return "http://" + l.Addr().String() + "/callback", s, nil
	}
	s.person = person.New(t.deployment, email)
	s.authorize = func(ctx context.Context, address string) (*url.URL, error) {
		callback, err := s.person.Authorize(ctx, address, person.Allow)
		return t.visited(address, callback), err
	}
	return playedRedirect, s, nil
}

// visited remembers the last visit, to be shown.
func (t *tour) visited(address string, callback *url.URL) *url.URL {
	asked, err := url.Parse(address)
	if err == nil {
		t.visit = visit{asked, callback}
	}
	return callback
}

// awaitBrowser opens the address and waits for the redirect.
func awaitBrowser(ctx context.Context, l net.Listener, address string) (*url.URL, error) {
	arrived := make(chan *url.URL, 1)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" {
			http.NotFound(w, r) // browsers ask for icons
			return
		}
		select {
		case arrived <- r.URL:
		default: // a reload
		}
		fmt.Fprintln(w, "The agent has what it needs. You can close this window and go back to the terminal.")
	})}
	go func() { _ = server.Serve(l) }() // ends with Close
	defer server.Close()
	_ = openBrowser(ctx, address) // the address is printed as well
	select {
	case callback := <-arrived:
		return callback, nil
	case <-ctx.Done():
		return nil, errors.New("nobody came back from the browser")
	}
}

// openBrowser hands the address to the system.
func openBrowser(ctx context.Context, address string) error {
	command, err := browserCommand(runtime.GOOS, address)
	if err != nil {
		return err
	}
	return exec.CommandContext(ctx, command[0], command[1:]...).Start()
}

// browserCommand returns the program that opens a web page, and its arguments.
// No shell reads them, and whatever is not an https address is refused: the
// system would open a file with it, or run it.
func browserCommand(system, address string) ([]string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || !strings.HasPrefix(address, "https://") {
		return nil, fmt.Errorf("not opening %q: it is not the address of a web page", address)
	}
	switch system {
	case "darwin":
		return []string{"open", address}, nil
	case "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler", address}, nil
	}
	return []string{"xdg-open", address}, nil
}

// signIn shows the authorization request, the pages, and the response.
func (t *tour) signIn(context.Context) error {
	t.heading("Authorization")
	t.title("The agent sends its user to the authorization server")
	t.say("  %s", t.paint(cyan, "→ GET "+t.visit.asked.Scheme+"://"+t.visit.asked.Host+t.visit.asked.Path+" ?"))
	t.body(record.Body("application/x-www-form-urlencoded", []byte(t.visit.asked.RawQuery)))
	t.notice("code_challenge is the hash of a secret that the agent keeps (PKCE): a stolen code is",
		"worth nothing without it. resource says which server the token will be for.")

	if t.john.person != nil {
		t.title("What %s sees", t.john.person.Email)
		for _, page := range t.john.person.Pages() {
			t.say("  %s", t.paint(green, fmt.Sprintf("▢ %s", page.Title)))
			t.say("      %s", wrap(page.Text, 84, "      "))
		}
		t.notice("each page names the client, how it became known and where the code will go. There is",
			"no password: the passcode went to the mailbox, "+t.deployment.Origin("mail")+"/")
	}

	t.title("The browser comes back to the agent")
	if t.visit.callback == nil {
		return errors.New("the browser did not come back")
	}
	t.say("  %s", t.paint(green, "← "+record.URL(t.visit.callback)))
	t.notice("state proves that this answers the agent's own request, iss who answers (RFC 9207).")
	return nil
}
