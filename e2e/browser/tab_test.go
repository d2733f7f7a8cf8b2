package browser_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// stepTimeout bounds one thing that a person does. A page that never comes must
// not cost the whole run.
const stepTimeout = 20 * time.Second

// tab is a tab of the browser, with a person in front of it.
type tab struct {
	*testing.T
	s   *setup
	ctx context.Context
	*watch

	once  bool // the page that is shown answers something that is good for one time
	plain bool // its pages may run no scripts
}

// window opens the browser as somebody who was never here: without cookies.
func (s *setup) window(t *testing.T) *tab {
	t.Helper()
	return s.open(t, s.chrome, chromedp.WithNewBrowserContext())
}

// another opens a tab beside this one, with the same cookies.
func (b *tab) another(t *testing.T) *tab {
	t.Helper()
	return b.s.open(t, b.ctx)
}

func (s *setup) open(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(parent, options...)
	b := &tab{T: t, s: s, ctx: ctx, watch: newWatch(s)}
	t.Cleanup(func() {
		b.clean(t)
		stop()
	})
	if err := chromedp.Listen(ctx, b.see); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return b
}

// in hands a tab that outlives one test to another.
func (b *tab) in(t *testing.T) *tab {
	next := *b
	next.T = t
	t.Cleanup(func() { next.clean(t) })
	return &next
}

// do runs steps, all of them within the time of one.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("%v; at %s", err, b.where())
	}
}

// run runs one step that has a result.
func run[R any](b *tab, step chromedp.Action[R]) R {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	result, err := chromedp.Run(ctx, step)
	if err != nil {
		b.Fatalf("%v; at %s", err, b.where())
	}
	return result
}

// visit loads an address.
func (b *tab) visit(address string) { b.Helper(); b.expect(200, chromedp.Navigate(address)) }

// press presses a button or follows a link, and waits for the page behind it.
func (b *tab) press(selector string) {
	b.Helper()
	b.expect(200, chromedp.Click(chromedp.CSS(selector)))
}

// expect does what leads to a page, which has to have this status.
func (b *tab) expect(status int64, step chromedp.Action[chromedp.Void]) {
	b.Helper()
	b.allow(status)
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	var response *network.Response
	response, err := chromedp.RunResponse(ctx, step)
	if err != nil {
		b.Fatalf("%v; at %s", err, b.where())
	}
	if response == nil || response.Status != status {
		b.Fatalf("got %+v, want a page with status %d: %s", response, status, b.text())
	}
}

// enter types into a field.
func (b *tab) enter(name, text string) {
	b.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(`input[name="`+name+`"]`), text))
}

// where is the address of the page.
func (b *tab) where() string {
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	address, _ := chromedp.Run(ctx, chromedp.Location()) // only said in failures, and compared with something
	return address
}

// location is where, taken apart.
func (b *tab) location(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(b.where())
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// text is what can be read on the page, spaces collapsed.
func (b *tab) text() string {
	b.Helper()
	return strings.Join(strings.Fields(run(b, chromedp.Evaluate[string](`document.body.innerText`))), " ")
}

// reads checks that the page says all of this.
func (b *tab) reads(wants ...string) {
	b.Helper()
	text := b.text()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			b.Errorf("%s does not say %q: %s", b.where(), want, text)
		}
	}
}

// wait returns the value of an expression once it is not empty.
func (b *tab) wait(expression string) string {
	b.Helper()
	for deadline := time.Now().Add(stepTimeout); time.Now().Before(deadline); b.do(chromedp.Sleep(20 * time.Millisecond)) {
		if value := run(b, chromedp.Evaluate[string](expression)); value != "" {
			return value
		}
	}
	b.Fatalf("%s stays empty at %s", expression, b.where())
	return ""
}

// has counts the elements of the page that a selector finds.
func (b *tab) has(selector string) int {
	b.Helper()
	return run(b, chromedp.Evaluate[int](`document.querySelectorAll('`+selector+`').length`))
}

// scripts switches JavaScript of the pages on or off. What a test evaluates runs
// all the same; events and timers do not.
func (b *tab) scripts(on bool) {
	b.Helper()
	b.plain = !on
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}

// ranNone checks, on the page of a client, that scripts were off on the way there.
func (b *tab) ranNone() {
	b.Helper()
	if title := run(b, chromedp.Title()); title != "No scripts" {
		b.Errorf("scripts ran: the client's page calls itself %q", title)
	}
}

// cookies are what the browser would send to the address.
func (b *tab) cookies(address string) []*network.Cookie {
	b.Helper()
	return run(b, func(ctx context.Context, _ *chromedp.Target) ([]*network.Cookie, error) {
		result, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{address}})
		return result.Cookies, err
	})
}
