package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailhogBin is the real MailHog, as the deployment builds it.
var mailhogBin string

func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUN_SERVICE") != "" { // see TestKilledServiceLeavesNoOrphan
		fmt.Fprintln(os.Stderr, Run(context.Background(), os.Environ(), os.Stderr))
		os.Exit(1)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mailhog")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	mailhogBin = filepath.Join(dir, "mailhog")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", mailhogBin, "github.com/mailhog/MailHog")
	build.Dir = "mailhog"
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build MailHog: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// running is a service under test.
type running struct {
	addr, smtp string
	pidFile    string
	log        *buffer
	stop       func() error // ends the service and returns what Run did
}

// environ returns settings with free ports. The program wrapped around
// MailHog writes down its process id, and becomes MailHog.
func environ(t *testing.T, more ...string) (env []string, r *running) {
	t.Helper()
	r = &running{addr: free(t), smtp: free(t), pidFile: filepath.Join(t.TempDir(), "pid"), log: &buffer{}}
	wrapper := filepath.Join(t.TempDir(), "mailhog")
	script := fmt.Sprintf("#!/bin/sh\necho $$ > %q\nexec %q \"$@\"\n", r.pidFile, mailhogBin)
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return append([]string{"LISTEN_ADDR=" + r.addr, "SMTP_LISTEN_ADDR=" + r.smtp, "MAILHOG_BIN=" + wrapper}, more...), r
}

// start runs the service until the test ends, and waits until it is healthy.
func start(t *testing.T, more ...string) *running {
	t.Helper()
	env, r := environ(t, more...)
	ctx, cancel := context.WithCancel(t.Context())
	var runErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runErr = Run(ctx, env, r.log)
	}()
	r.stop = func() error {
		cancel()
		<-done
		return runErr
	}
	t.Cleanup(func() { _ = r.stop() }) // tests that care ask for themselves
	eventually(t, r.log, func() bool { return r.health() == http.StatusOK })
	return r
}

func (r *running) health() int {
	resp, err := http.Get("http://" + r.addr + "/healthz")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// answer is a response, read to its end.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// request asks the front as the gateway does. header holds names and values in
// turns; Host is one of them.
func (r *running) request(t *testing.T, method, path string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "mail.demo.localhost:8443"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
}

// send sends a mail, given as its lines.
func send(t *testing.T, smtpAddr string, lines ...string) {
	t.Helper()
	err := smtp.SendMail(smtpAddr, nil, "login@demo.example", []string{"john.doe@demo.example"}, []byte(strings.Join(lines, "\r\n")+"\r\n"))
	if err != nil {
		t.Fatal(err)
	}
}

// mail is one item of the list in version 2 of MailHog's API.
type mail struct {
	ID      string
	Content struct {
		Headers map[string][]string
		Body    string
	}
}

func (r *running) list(t *testing.T) (total int, items []mail) {
	t.Helper()
	got := r.request(t, http.MethodGet, "/api/v2/messages")
	if got.Status != http.StatusOK {
		t.Fatalf("list: %d %s", got.Status, got.Body)
	}
	return decodeList(t, strings.NewReader(got.Body))
}

func decodeList(t *testing.T, body io.Reader) (total int, items []mail) {
	t.Helper()
	var page struct {
		Total int
		Items []mail
	}
	if err := json.NewDecoder(body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	return page.Total, page.Items
}

func (r *running) pid(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(r.pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestMailArrivesAndItsTextIsNotLogged(t *testing.T) {
	r := start(t, "LOG_LEVEL=debug")
	send(t, r.smtp, "Subject: Your passcode", "", "It is 12345678.")

	total, items := r.list(t)
	if total != 1 || len(items) != 1 {
		t.Fatalf("got %d mails, want 1", total)
	}
	if got := items[0].Content.Body; !strings.Contains(got, "12345678") {
		t.Errorf("body: got %q, want the passcode", got)
	}
	if got := r.request(t, http.MethodDelete, "/api/v1/messages/"+items[0].ID); got.Status != http.StatusOK {
		t.Errorf("delete: %d %s", got.Status, got.Body)
	}
	if total, _ := r.list(t); total != 0 {
		t.Errorf("after delete: got %d mails, want none", total)
	}
	if err := r.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if strings.Contains(r.log.String(), "12345678") {
		t.Errorf("the passcode is in the log:\n%s", r.log)
	}
}

func TestNothingIsLeftAfterStop(t *testing.T) {
	r := start(t)
	pid := r.pid(t)
	if err := r.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if p, err := os.FindProcess(pid); err == nil && alive(p) {
		t.Errorf("MailHog (process %d) still runs", pid)
	}
	if conn, err := net.Dial("tcp", r.smtp); err == nil {
		conn.Close()
		t.Error("SMTP still answers")
	}
}

func TestServiceFailsWhenMailHogEnds(t *testing.T) {
	env, r := environ(t)
	done := make(chan error, 1)
	go func() { done <- Run(t.Context(), env, r.log) }()
	eventually(t, r.log, func() bool { return r.health() == http.StatusOK })
	p, err := os.FindProcess(r.pid(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "MailHog ended by itself") {
			t.Errorf("got %v, want an error that says so", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the service runs on without MailHog")
	}
}

// What is in the table keeps the inbox from starting; a domain that somebody may
// own is one (attack S3).
func TestBadConfigurationNamesTheVariable(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := map[string]string{ // setting → variable named
		"DOMAIN=localhost":                          "DOMAIN:",
		"DOMAIN=login.company.com":                  "DOMAIN: login.company.com can be somebody's real name",
		"HTTPS_PORT=0":                              "HTTPS_PORT:",
		"LOG_LEVEL=loud":                            "LOG_LEVEL:",
		"SMTP_LISTEN_ADDR=1025":                     "SMTP_LISTEN_ADDR:",
		"SMTP_LISTEN_ADDR=" + taken.Addr().String(): "SMTP_LISTEN_ADDR:",
		"LISTEN_ADDR=" + taken.Addr().String():      "LISTEN_ADDR:",
		"MAILHOG_BIN=/no/such/program":              "MAILHOG_BIN:",
		"MAX_MESSAGES=0":                            "MAX_MESSAGES:",
		"MAX_MESSAGES=many":                         "MAX_MESSAGES:",
	}
	for setting, want := range tests {
		t.Run(setting, func(t *testing.T) {
			env, r := environ(t, setting)
			err := Run(t.Context(), env, r.log)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error that names %s", err, want)
			}
		})
	}
}

// eventually waits until ok, which is tried again and again.
func eventually(t *testing.T, log fmt.Stringer, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting; log:\n%s", log)
		}
	}
}

// free returns a loopback address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	addr, err := freeAddr(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
