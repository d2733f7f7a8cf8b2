package authserver

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"demo.example/services/internal/site"
)

// process is the real program, which can be killed and started again on the
// same database.
type process struct {
	t         *testing.T
	site      site.Site
	bin, addr string
	database  string
	environ   []string
	inbox     *smtpSink
	log       *os.File
	cmd       *exec.Cmd
}

// newProcess builds the program and starts it.
func newProcess(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{
		t: t, site: site.Site{Domain: "demo.localhost", HTTPSPort: 8443}, inbox: newSMTPSink(t),
		bin: filepath.Join(dir, "authserver"), database: filepath.Join(dir, "authserver.db"),
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.bin, "demo.example/services/cmd/authserver").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, name := range secretNames {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name+secretFor), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	l.Close()
	p.environ = []string{
		"LISTEN_ADDR=" + p.addr, "DATABASE_FILE=" + p.database, "SECRETS_DIR=" + dir, "SMTP_ADDR=" + p.inbox.addr, "LOG_LEVEL=warn",
	}
	if p.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	p.start()
	t.Cleanup(func() {
		p.kill()
		p.log.Close()
		if raw, err := os.ReadFile(p.log.Name()); err == nil && t.Failed() {
			t.Logf("the server's log ends:\n%s", raw[max(0, len(raw)-5000):])
		}
	})
	return p
}

// start starts the program and waits until it answers.
func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.bin) // it ends by kill
	p.cmd.Env, p.cmd.Stderr = p.environ, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get("http://" + p.addr + "/healthz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	p.t.Fatal("the server does not start again")
}

// kill ends the program as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself, which start notices
	_ = p.cmd.Wait()
}

// rotateKeys calls the subcommand, while the server runs.
func (p *process) rotateKeys() {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.bin, "rotate-keys")
	cmd.Env = p.environ
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "signs from") {
		p.t.Errorf("rotate-keys: %v\n%s", err, out)
	}
}

// browser returns an HTTP client that knows the server by its public name, as
// if the gateway stood before it.
func (p *process) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, p.addr)
	}}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Jar: jar, Transport: withoutTLS{transport}, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// withoutTLS sends what is meant for https as http.
type withoutTLS struct{ http.RoundTripper }

func (w withoutTLS) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "http"
	return w.RoundTripper.RoundTrip(r)
}

// send sends a form, or gets a page when form is nil. told is false when
// there was no complete answer, or one that says that there is none.
func (p *process) send(c *http.Client, path string, form url.Values, header ...string) (a answer, told bool) {
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.site.Issuer()+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Error(err)
		return a, false
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		time.Sleep(10 * time.Millisecond) // it is being started again
		return a, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, false
	}
	a = answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	_ = json.Unmarshal(body, &a.JSON) // pages are not JSON
	return a, a.Status < 500
}

// smtpSink is a mail server that remembers the last passcode.
type smtpSink struct {
	addr string

	mu       sync.Mutex
	passcode string
}

var passcodeInMail = regexp.MustCompile(`\r\n\r\n(?s:.*?)\b(\d{4}) ?(\d{4})\b`) // in the body

func newSMTPSink(t *testing.T) *smtpSink {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &smtpSink{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer conn.Close(); s.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return s
}

// serve speaks as much SMTP (RFC 5321) as taking a mail needs.
func (s *smtpSink) serve(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	say := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
	say("220 sink")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		switch verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " "); verb {
		case "DATA":
			say("354 go on")
			var mail strings.Builder
			for lines.Scan() && lines.Text() != "." {
				mail.WriteString(lines.Text() + "\r\n")
			}
			if m := passcodeInMail.FindStringSubmatch(mail.String()); m != nil {
				s.mu.Lock()
				s.passcode = m[1] + m[2]
				s.mu.Unlock()
			}
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// take waits for a passcode and forgets it.
func (s *smtpSink) take(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		passcode := s.passcode
		s.passcode = ""
		s.mu.Unlock()
		if passcode != "" {
			return passcode
		}
	}
	t.Fatal("no mail came")
	return ""
}
