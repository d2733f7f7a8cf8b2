package deploy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"demo.example/services/internal/certs"
	"demo.example/services/internal/site"
)

// TestMain lets the test binary stand in for the programs that a deployment
// starts: the supervisor, and, under the name of a service, that service.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	switch {
	case isService(name):
		if err := standIn(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case len(os.Args) > 1 && os.Args[1] == "supervise":
		if err := Main(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// standIn is a service that is healthy and does nothing else.
func standIn(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Fprintln(os.Stderr, "stand-in for", name)
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})
	addr := os.Getenv("LISTEN_ADDR")
	if name == "gateway" {
		for a := range strings.SplitSeq(addr, ",") {
			l, err := net.Listen("tcp", a)
			if err != nil {
				return err
			}
			go func() { _ = http.ServeTLS(l, ok, os.Getenv("TLS_CERT_FILE"), os.Getenv("TLS_KEY_FILE")) }()
		}
		addr = os.Getenv("HEALTH_LISTEN_ADDR")
	}
	srv := &http.Server{Addr: addr, Handler: ok, ReadHeaderTimeout: time.Second}
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// freePort returns a port on which nobody listens.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// newTestTool returns a tool for a local deployment of stand-ins in temporary
// directories, and its certificates.
func newTestTool(t *testing.T) (*Tool, certs.Result) {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tool := &Tool{
		Settings: Settings{
			Site:    site.Site{Domain: "demo.localhost", HTTPSPort: freePort(t)},
			Runtime: Local, RunDir: t.TempDir(), CertsDir: t.TempDir(), ComposeProjectName: "test",
		},
		Root: findRoot(wd), Environ: []string{"PATH=" + os.Getenv("PATH")}, Out: io.Discard, Err: io.Discard, Now: time.Now,
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(tool.RunDir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, s := range Services {
		if err := os.Symlink(self, filepath.Join(bin, s)); err != nil {
			t.Fatal(err)
		}
	}
	pki, err := tool.setup()
	if err != nil {
		t.Fatal(err)
	}
	return tool, pki
}
