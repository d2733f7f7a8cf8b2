// Package person plays a user in front of a browser: it opens the address that
// a client asks for, reads the passcode in the mail, fills in the forms and
// clicks the buttons, and stops where the browser would leave the authorization
// server for the client.
package person

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"

	"demo.example/e2e/deployment"
)

// The users of the demo.
const (
	John      = "john.doe@demo.example"       // USA
	Jane      = "jane.test@demo.example"      // Europe
	Admin     = "admin@demo.example"          // Europe, an administrator
	Suspended = "suspended.user@demo.example" // known, not approved
	Nobody    = "nobody@demo.example"         // unknown
)

// Decisions on the consent page.
const (
	Allow = "allow"
	Deny  = "deny"
)

// maxSteps ends a walk that goes in circles.
const maxSteps = 12

// Person is a user with a browser of their own: its cookies outlive one
// sign-in.
type Person struct {
	Email string
	Inbox *Inbox

	deployment *deployment.Deployment
	browser    *http.Client

	mu    sync.Mutex
	pages []*Page
}

// New returns a person who has never been to the deployment before.
func New(d *deployment.Deployment, email string) *Person {
	jar, _ := cookiejar.New(nil) // fails never: it has no options
	browser := d.Client()
	browser.Jar = jar
	return &Person{Email: email, Inbox: &Inbox{Deployment: d}, deployment: d, browser: browser}
}

// Copy returns a second browser with the cookies that this one has now, as a
// thief of them would have it.
func (p *Person) Copy() *Person {
	c := New(p.deployment, p.Email)
	origin := &url.URL{Scheme: "https", Host: strings.TrimPrefix(p.deployment.Issuer(), "https://"), Path: "/"}
	c.browser.Jar.SetCookies(origin, p.browser.Jar.Cookies(origin))
	return c
}

// Pages returns the pages seen since the last call, oldest first.
func (p *Person) Pages() []*Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.pages
	p.pages = nil
	return seen
}

// Authorize opens the authorization URL, signs in where asked, decides, and
// returns the address of the client that the browser was sent back to. A page
// that asks for nothing is an error that quotes it.
func (p *Person) Authorize(ctx context.Context, authorizationURL, decision string) (*url.URL, error) {
	page, err := p.Open(ctx, authorizationURL)
	for range maxSteps {
		if err != nil {
			return nil, err
		}
		if page.Callback != nil {
			return page.Callback, nil
		}
		page, err = p.Answer(ctx, page, decision)
	}
	return nil, errors.New("the sign-in goes round in circles")
}

// Answer does what a page asks for: the email address, the passcode from the
// mail, or the decision.
func (p *Person) Answer(ctx context.Context, page *Page, decision string) (*Page, error) {
	switch {
	case page.Asks("email"):
		return p.submitEmail(ctx, page)
	case page.Asks("passcode"):
		return p.Submit(ctx, page, url.Values{"passcode": {page.passcode}})
	case page.Offers("decision", decision):
		return p.Submit(ctx, page, url.Values{"decision": {decision}})
	default:
		return nil, fmt.Errorf("the page %q (status %d) asks for nothing that a person can give: %s", page.Title, page.Status, page.Text)
	}
}

// submitEmail asks for a passcode and waits for the mail with it, so that two
// sign-ins of one user, side by side, can't take each other's.
func (p *Person) submitEmail(ctx context.Context, page *Page) (*Page, error) {
	defer waitForTurn(p.Email)()
	before, err := p.Inbox.Newest(ctx, p.Email)
	if err != nil {
		return nil, err
	}
	next, err := p.Submit(ctx, page, url.Values{"email": {p.Email}})
	if err != nil || !next.Asks("passcode") {
		return next, err
	}
	next.passcode, err = p.Inbox.Passcode(ctx, p.Email, before)
	return next, err
}

// Open loads an address and follows redirects for as long as they stay on the
// authorization server.
func (p *Person) Open(ctx context.Context, address string) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return p.load(req)
}

// Submit sends the page's form with its hidden fields and these values.
func (p *Person) Submit(ctx context.Context, page *Page, values url.Values) (*Page, error) {
	if page.form == nil {
		return nil, fmt.Errorf("the page %q has no form", page.Title)
	}
	fields := url.Values{}
	for name, value := range page.form.hidden {
		fields[name] = value
	}
	for name, value := range values {
		fields[name] = value
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, page.form.action.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// What every browser adds to a form of the page's own.
	req.Header.Set("Origin", p.deployment.Issuer())
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	next, err := p.load(req)
	if err == nil && next.Asks("passcode") {
		next.passcode = page.passcode // a retry is for the same mail
	}
	return next, err
}

// load sends a request and follows redirects within the authorization server.
func (p *Person) load(req *http.Request) (*Page, error) {
	ctx := req.Context()
	for range maxSteps {
		req.Header.Set("Accept", "text/html")
		resp, err := p.browser.Do(req)
		if err != nil {
			return nil, err
		}
		page, err := readPage(resp)
		if err != nil {
			return nil, err
		}
		location, err := resp.Location()
		if errors.Is(err, http.ErrNoLocation) {
			p.remember(page)
			return page, nil
		}
		if err != nil {
			return nil, err
		}
		if location.Scheme+"://"+location.Host != p.deployment.Issuer() {
			page.Callback = location
			return page, nil
		}
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, location.String(), nil); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("too many redirects")
}

func (p *Person) remember(page *Page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages = append(p.pages, page)
}

// turns has a lock for each address: see submitEmail.
var turns sync.Map

func waitForTurn(email string) (done func()) {
	lock, _ := turns.LoadOrStore(email, new(sync.Mutex))
	lock.(*sync.Mutex).Lock()
	return lock.(*sync.Mutex).Unlock
}
