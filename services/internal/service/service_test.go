package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"demo.example/services/internal/certs"
	"demo.example/services/internal/mtls"
)

// TestMain lets the test program stand in for a service's: Main ends the
// process, so it is tested from outside.
func TestMain(m *testing.M) {
	switch os.Getenv("SERVICE_TEST") {
	case "":
		os.Exit(m.Run())
	case "fails":
		Main("test", func(context.Context, []string, io.Writer) error { return errors.New("LISTEN_ADDR: is taken") })
	case "logs":
		_ = os.Setenv("LOG_LEVEL", "warn")
		Main("test", func(context.Context, []string, io.Writer) error {
			slog.Info("not at this level")
			slog.Warn("by a library")
			return nil
		})
	case "serves":
		Main("test", func(ctx context.Context, _ []string, stderr io.Writer) error {
			fmt.Fprintln(stderr, "serving")
			<-ctx.Done()
			fmt.Fprintln(stderr, "stopped")
			return nil
		})
	}
}

// program returns this test program in the role of a service.
func program(t *testing.T, role string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SERVICE_TEST="+role)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	return cmd, &stderr
}

func TestMainExitCode(t *testing.T) {
	cmd, stderr := program(t, "fails")
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 || stderr.String() != "LISTEN_ADDR: is taken\n" {
		t.Errorf("%v, %q", err, stderr)
	}
}

// TestMainTakesLibrariesLogs: what does not know the service's logger is in its
// log all the same.
func TestMainTakesLibrariesLogs(t *testing.T) {
	cmd, stderr := program(t, "logs")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	var record struct{ Level, Msg, Service string }
	if err := json.Unmarshal(stderr.Bytes(), &record); err != nil || record.Level != "WARN" || record.Msg != "by a library" || record.Service != "test" {
		t.Errorf("%v, %q", err, stderr)
	}
}

func TestMainStopsOnSignals(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd, _ := program(t, "serves")
		cmd.Stderr = nil
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		began := make([]byte, len("serving\n"))
		if _, err := io.ReadFull(stderr, began); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(stderr)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || string(rest) != "stopped\n" {
			t.Errorf("%v: %v, %q", sig, err, rest)
		}
	}
}

// TestHealthcheckSubcommand: the program asks the running service, and does
// not become one itself.
func TestHealthcheckSubcommand(t *testing.T) {
	healthy, _ := serveHealth(t, http.StatusOK)
	cmd, stderr := program(t, "serves", "healthcheck")
	cmd.Env = append(cmd.Env, "LISTEN_ADDR="+healthy, "HEALTH_LISTEN_ADDR=")
	if err := cmd.Run(); err != nil || stderr.Len() != 0 {
		t.Errorf("%v, %q", err, stderr)
	}
	ill, _ := serveHealth(t, http.StatusServiceUnavailable)
	cmd, stderr = program(t, "serves", "healthcheck")
	cmd.Env = append(cmd.Env, "LISTEN_ADDR="+ill, "HEALTH_LISTEN_ADDR=")
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "503") {
		t.Errorf("%v, %q", err, stderr)
	}
}

// serveHealth serves /healthz with a status.
func serveHealth(t *testing.T, status int) (addr, port string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	addr = srv.Listener.Addr().String()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return addr, port
}

func TestHealthcheck(t *testing.T) {
	addr, port := serveHealth(t, http.StatusOK)
	ill, _ := serveHealth(t, http.StatusServiceUnavailable)
	tests := map[string]struct {
		environ []string
		want    string // part of the error, empty when healthy
	}{
		"its address":             {[]string{"LISTEN_ADDR=" + addr}, ""},
		"every interface":         {[]string{"LISTEN_ADDR=0.0.0.0:" + port}, ""},
		"port alone":              {[]string{"LISTEN_ADDR=:" + port}, ""},
		"health address first":    {[]string{"HEALTH_LISTEN_ADDR=" + addr, "LISTEN_ADDR=" + ill}, ""},
		"health address last":     {[]string{"LISTEN_ADDR=" + ill, "HEALTH_LISTEN_ADDR=" + addr}, ""},
		"health address is empty": {[]string{"LISTEN_ADDR=" + addr, "HEALTH_LISTEN_ADDR="}, ""},
		"ill":                     {[]string{"LISTEN_ADDR=" + ill}, "503"},
		"not there":               {[]string{"LISTEN_ADDR=127.0.0.1:1"}, "refused"},
		"not an address":          {[]string{"LISTEN_ADDR=127.0.0.1"}, "LISTEN_ADDR"},
		"not set":                 {[]string{"PATH=/bin"}, "LISTEN_ADDR"},
	}
	for name, tt := range tests {
		err := healthcheck(t.Context(), tt.environ, io.Discard)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "healthcheck: ") || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want an error about %q", name, err, tt.want)
		}
	}
}

// TestHealthcheckByMutualTLS: the check is let in as the service itself.
func TestHealthcheckByMutualTLS(t *testing.T) {
	internal, err := certs.EnsureInternal(t.TempDir(), []string{"mail", "stocksapi"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	settings := func(name string) mtls.Settings {
		return mtls.Settings{InternalCertFile: internal.CertFile(name), InternalKeyFile: internal.KeyFile(name), InternalCAFile: internal.CAFile()}
	}
	id, err := mtls.Load(settings("mail"), "mail", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.TLS = id.Server()
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.StartTLS()
	defer srv.Close()
	environ := func(s mtls.Settings) []string {
		return []string{
			"LISTEN_ADDR=" + srv.Listener.Addr().String(),
			"INTERNAL_CERT_FILE=" + s.InternalCertFile, "INTERNAL_KEY_FILE=" + s.InternalKeyFile, "INTERNAL_CA_FILE=" + s.InternalCAFile,
		}
	}
	if err := healthcheck(t.Context(), environ(settings("mail")), io.Discard); err != nil {
		t.Error(err)
	}
	if err := healthcheck(t.Context(), environ(settings("stocksapi")), io.Discard); err == nil {
		t.Error("another service's certificate passes for this one's")
	}
	if err := healthcheck(t.Context(), environ(mtls.Settings{}), io.Discard); err == nil {
		t.Error("a service that wants a certificate is healthy without one")
	}
	half := settings("mail")
	half.InternalKeyFile = ""
	if err := healthcheck(t.Context(), environ(half), io.Discard); err == nil || !strings.Contains(err.Error(), "INTERNAL_CERT_FILE: is set without INTERNAL_KEY_FILE") {
		t.Errorf("half of the settings: %v", err)
	}
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log := Logger(&b, "gateway", slog.LevelWarn)
	log.Info("not shown")
	log.Warn("shown", "request_id", "id\nof request")
	var record map[string]any
	if err := json.Unmarshal(b.Bytes(), &record); err != nil || bytes.Count(b.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("%v: %s", err, &b)
	}
	if record["service"] != "gateway" || record["msg"] != "shown" || record["request_id"] != "id\nof request" {
		t.Errorf("%v", record)
	}
}
