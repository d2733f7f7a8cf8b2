// Package browser_test does what people do, in a real browser: headless
// Chromium against a running deployment. Each journey also holds the pages that
// it meets to what they promise: nothing in the console, nothing from anybody
// else, no barrier that axe-core knows of, light, quick, and a screenshot for
// whoever wants to look.
//
// `make browser` installs axe-core and runs this. Start reading at TestJourneys;
// tab_test.go is the browser, watch_test.go what it must never do,
// look_test.go what is asked of every page.
package browser_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"demo.example/e2e/deployment"
	"demo.example/e2e/launch"
	"demo.example/e2e/person"
)

// TestJourneys runs them one after the other, against one deployment: the later
// ones find what the earlier ones left. Each watches for what D3 forbids and
// reads what O17 asks for; the names are where that matters.
func TestJourneys(t *testing.T) {
	s := prepare(t)
	t.Run("the watch is awake", s.testWatch)
	resend := s.askForPasscode(t) // first: a new one may be asked for after half a minute
	john, program := s.testFirstSignIn(t)
	t.Run("consent denied", func(t *testing.T) { s.testDenied(t, john.in(t)) })
	t.Run("second client", func(t *testing.T) { s.testSecondClient(t, john.in(t)) })
	t.Run("step-up and orders", s.testOrders)
	t.Run("taken back", func(t *testing.T) { s.testTakeBack(t, john.in(t), program) })
	t.Run("device", func(t *testing.T) { s.testDevice(t, john.in(t)) })
	t.Run("consent remembered", func(t *testing.T) { s.testRemembered(t, john.in(t)) })
	t.Run("redirects elsewhere", func(t *testing.T) { s.testElsewhere(t, john.in(t)) })
	t.Run("hostile names", func(t *testing.T) { s.testHostileNames(t, john.in(t)) })
	t.Run("pages without a request", s.testOtherPages)
	t.Run("without JavaScript", s.testWithoutScript)
	t.Run("wrong passcode, resent, right", func(t *testing.T) { s.testResend(t, resend.in(t)) })
	t.Run("signed out", func(t *testing.T) { s.testSignOut(t, john.in(t)) })
	t.Run("administration", s.testAdministration)
	s.report(t)
}

// setup is what all journeys share.
type setup struct {
	*launch.Running
	chrome context.Context // the browser
	inbox  *person.Inbox
	client *callback // where clients wait for the browser to come back
	axe    string    // source of axe-core
	shots  string    // folder for screenshots
	seen   map[string]measured
}

// programs are the names that Chromium goes by.
var programs = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// prepare starts a deployment and a browser that can reach nothing else.
func prepare(t *testing.T) *setup {
	t.Helper()
	installed := os.Getenv("AXE")
	if installed == "" {
		t.Skip("the browser's tests need axe-core: `make browser` installs it and runs them")
	}
	program := ""
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil && program == "" {
			program = path
		}
	}
	if program == "" {
		t.Fatalf("there is no Chromium here (looked for %v); on Debian: apt-get install chromium", programs)
	}
	axe, err := os.ReadFile(filepath.Join(installed, "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	s := &setup{axe: string(axe), shots: os.Getenv("SCREENSHOTS"), seen: map[string]measured{}}
	if s.shots == "" {
		root, err := deployment.Root()
		if err != nil {
			t.Fatal(err)
		}
		s.shots = filepath.Join(root, ".run", "screenshots")
	}
	if err := os.MkdirAll(s.shots, 0o755); err != nil {
		t.Fatal(err)
	}

	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	t.Cleanup(cancel)
	if s.Running, err = launch.Start(ctx); err != nil {
		t.Fatalf("start the deployment: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("remove the deployment: %v", err)
		}
	})
	s.inbox = &person.Inbox{Deployment: s.Deployment}
	s.client = listen(t)
	s.chrome = start(ctx, t, program, s.Deployment)
	return s
}

// start starts the browser.
func start(ctx context.Context, t *testing.T, program string, d *deployment.Deployment) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // it is not there for root in a container, and what is opened is ours
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// Every name of the deployment is this machine, and no other is anything.
		chromedp.Flag("host-resolver-rules", "MAP *."+d.Domain+" 127.0.0.1, MAP "+d.Domain+" 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		// This certificate alone is trusted beside the public ones, as after
		// `make trust`.
		chromedp.Flag("ignore-certificate-errors-spki-list", keyHash(ctx, t, d)),
	)
	allocator, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	chrome, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	if err := chromedp.Do(chrome); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return chrome
}

// keyHash is the SHA-256 of the public key in the gateway's certificate, which
// a client that trusts the authority has verified.
func keyHash(ctx context.Context, t *testing.T, d *deployment.Deployment) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Origin("")+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	sum := sha256.Sum256(resp.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}
