package browser_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"demo.example/e2e/agent"
)

// What is asked of every page.
const (
	maxWeight = 60_000 // bytes of document and style sheet
	loads     = 20     // that the time is the median of
	// maxTime is what a page may take the services. The aim is 5 ms on a
	// machine with nothing else to do, and the report says what it was; this
	// bound is for one that is busy.
	maxTime = 50 * time.Millisecond
)

// widths of a phone and of a desktop.
var widths = []int64{390, 1200}

// measured is what a page costs; no time where it can't be asked for again.
type measured struct {
	weight int
	median time.Duration
}

// look holds the page that is shown to what is asked of every page, once for
// each name, and keeps pictures of it.
func (b *tab) look(name string) {
	b.Helper()
	if _, done := b.s.seen[name]; done {
		return
	}
	b.checkContent(name)
	if b.plain { // the page was loaded without; now it is axe-core that needs them
		b.scripts(true)
		defer b.scripts(false)
	}
	axe := b.axe()
	for _, theme := range []string{"light", "dark"} {
		for _, width := range widths {
			b.show(theme, width)
			b.picture(fmt.Sprintf("%s-%s-%d.png", strings.NewReplacer(",", "", " ", "-").Replace(name), theme, width))
			for _, violation := range b.barriers(axe) {
				b.Errorf("%s, %s, %d px: axe-core: %s", name, theme, width, violation)
			}
			if wide := run(b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > width {
				b.Errorf("%s: %d px wide in a window of %d px", name, wide, width)
			}
		}
	}
	b.show("light", widths[1])
	// Last: for a moment after it has shown a page, Chromium prepares for the
	// next one with all that the machine has.
	b.s.seen[name] = b.measure(name)
}

// checkContent: a document and one style sheet, nothing else and nothing that
// could run.
func (b *tab) checkContent(name string) {
	b.Helper()
	method, loaded := b.last()
	slices.Sort(loaded)
	if got := strings.Join(loaded, " "); got != "Document" && got != "Document Stylesheet" {
		b.Errorf("%s (%s) loads %s, want a document and at most one style sheet", name, method, got)
	}
	const foreign = "script, style, [style], img, svg, iframe, object, embed, video, audio, link:not([rel=stylesheet]), meta[http-equiv]"
	if n := b.has(foreign); n > 0 {
		b.Errorf("%s has %d elements that it should not need: %s", name, n, foreign)
	}
}

// show sets theme and width, as the page's style sheet sees them.
func (b *tab) show(theme string, width int64) {
	b.Helper()
	b.do(chromedp.EmulateViewport(width, 800), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
		return err
	}))
}

func (b *tab) picture(file string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.s.shots, file), run(b, chromedp.FullScreenshot(100)), 0o644); err != nil {
		b.Fatal(err)
	}
}

// axe loads axe-core into a world of its own, so that the page's policy stays
// as it is and neither sees the other's variables.
func (b *tab) axe() chromedp.EvaluateOption {
	b.Helper()
	return run(b, func(ctx context.Context, t *chromedp.Target) (chromedp.EvaluateOption, error) {
		tree, err := chromedp.Call(ctx, page.GetFrameTree, struct{}{})
		if err != nil {
			return nil, err
		}
		world, err := chromedp.Call(ctx, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: tree.FrameTree.Frame.ID, WorldName: "axe"})
		if err != nil {
			return nil, err
		}
		there := func(p *runtime.EvaluateParams) { p.ContextID = world.ExecutionContextID }
		_, err = chromedp.Evaluate[chromedp.Void](b.s.axe, there)(ctx, t)
		return there, err
	})
}

// barriers are what axe-core finds. Preload would have it ask for style sheets,
// which the policy forbids.
func (b *tab) barriers(axe chromedp.EvaluateOption) []string {
	b.Helper()
	return run(b, chromedp.Evaluate[[]string](`axe.run(document, {preload: false}).then(r => r.violations.map(v =>
		v.id + ": " + v.help + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join(" | ")))`, axe, chromedp.EvalAwaitPromise))
}

// measure asks for the page that is shown, and for its style sheet, as the
// browser did, over a connection that is open.
func (b *tab) measure(name string) measured {
	b.Helper()
	address := b.where()
	sheet := run(b, chromedp.Evaluate[string](`document.querySelector("link[rel=stylesheet]").href`))
	method, _ := b.last()
	m := measured{weight: len(run(b, chromedp.Evaluate[string](`document.documentElement.outerHTML`)))}
	answer, err := agent.Get(b.ctx, b.s.Client(), sheet, "")
	if err != nil || answer.Status != http.StatusOK {
		b.Fatalf("%s: %+v %v", sheet, answer, err)
	}
	m.weight += len(answer.Body)
	if m.weight > maxWeight {
		b.Errorf("%s weighs %d bytes, want at most %d", name, m.weight, maxWeight)
	}
	if method != http.MethodGet || b.once {
		return m
	}
	var times []time.Duration
	for range loads {
		took, err := b.load(address)
		if err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		times = append(times, took)
	}
	slices.Sort(times)
	if m.median = times[loads/2]; m.median > maxTime {
		b.Errorf("%s takes %s, want at most %s", name, m.median, maxTime)
	}
	return m
}

// load returns the time between having a connection and the first byte of the
// answer.
func (b *tab) load(address string) (time.Duration, error) {
	var connected, first time.Time
	ctx := httptrace.WithClientTrace(b.ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { connected = time.Now() },
		GotFirstResponseByte: func() { first = time.Now() },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	for _, cookie := range b.cookies(address) {
		req.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
	resp, err := b.s.Client().Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	if want := b.allowed(); resp.StatusCode != int(want) {
		return 0, fmt.Errorf("answered %s, want %d as before", resp.Status, want)
	}
	return first.Sub(connected), nil
}

// report says what was measured.
func (s *setup) report(t *testing.T) {
	t.Helper()
	for name, m := range s.seen {
		t.Logf("%-32s %5d bytes, %8s", name, m.weight, m.median.Round(10*time.Microsecond))
	}
	t.Logf("screenshots are in %s", s.shots)
}
