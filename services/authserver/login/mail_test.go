package login

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailServer takes mail by SMTP (RFC 5321), refusing the first few.
type mailServer struct {
	addr   string
	mails  chan delivered
	mu     sync.Mutex
	refuse int // mails to refuse, each with a temporary failure
}

// delivered is a mail as it arrived: the envelope and the decoded message.
type delivered struct {
	From, To string
	Header   mail.Header
	Body     string // the text part, decoded
}

func startMailServer(t *testing.T, refuse int) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{addr: l.Addr().String(), mails: make(chan delivered, 10), refuse: refuse}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				s.serve(c)
			})
		}
	})
	return s
}

func (s *mailServer) refuses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse--
	return s.refuse >= 0
}

func (s *mailServer) serve(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(c)
	fmt.Fprint(c, "2")
	time.Sleep(5 * time.Millisecond) // a greeting may come in pieces
	fmt.Fprint(c, "20 mail.demo.example ESMTP\r\n")
	var m delivered
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		switch verb, rest, _ := strings.Cut(line, " "); strings.ToUpper(verb) {
		case "MAIL":
			m.From = rest
			if s.refuses() {
				fmt.Fprint(c, "451 try again\r\n")
				continue
			}
			fmt.Fprint(c, "250 ok\r\n")
		case "RCPT":
			m.To += rest
			fmt.Fprint(c, "250 ok\r\n")
		case "DATA":
			fmt.Fprint(c, "354 go on\r\n")
			var raw strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				raw.WriteString(strings.TrimPrefix(line, "."))
			}
			msg, err := mail.ReadMessage(strings.NewReader(raw.String()))
			if err != nil {
				fmt.Fprint(c, "554 cannot be read\r\n")
				continue
			}
			_, parts, err := partsOf(msg)
			if err != nil {
				fmt.Fprint(c, "554 cannot be read\r\n")
				continue
			}
			m.Header, m.Body = msg.Header, parts["text/plain"]
			s.mails <- m
			m = delivered{}
			fmt.Fprint(c, "250 ok\r\n")
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default: // EHLO without extensions, RSET, NOOP
			fmt.Fprint(c, "250 mail.demo.example\r\n")
		}
	}
}

// runMailer starts a mailer for addr; it stops when the test ends.
func runMailer(t *testing.T, addr string) *SMTP {
	t.Helper()
	logs := &strings.Builder{} // slog's handler locks it; read it after the mailer stopped
	m, err := NewSMTP(addr, "login@demo.example", slog.New(slog.NewJSONHandler(logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("Run does not end with its context")
		}
		for _, secret := range []string{"12345678", "1234 5678", john} {
			if strings.Contains(logs.String(), secret) {
				t.Errorf("the log holds %q: %s", secret, logs)
			}
		}
	})
	return m
}

func (s *mailServer) next(t *testing.T) delivered {
	t.Helper()
	select {
	case m := <-s.mails:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("no mail arrived")
		return delivered{}
	}
}

var message = Message{To: john, Passcode: "12345678", Lifetime: 5 * time.Minute, ClientName: "Test Agent", Site: "https://login.demo.example"}

func TestDelivery(t *testing.T) {
	s := startMailServer(t, 0)
	m := runMailer(t, s.addr)
	if err := m.Ready(t.Context()); err != nil {
		t.Fatalf("Ready: %v", err)
	}
	m.Queue(message)
	got := s.next(t)
	if got.From != "FROM:<login@demo.example>" || got.To != "TO:<"+john+">" {
		t.Errorf("from %s to %s", got.From, got.To)
	}
	if got.Header.Get("Subject") != "Your passcode" || got.Header.Get("Date") == "" || got.Header.Get("Message-Id") == "" {
		t.Errorf("header: %v", got.Header)
	}
	for name, values := range got.Header {
		if v := strings.Join(values, " "); strings.Contains(v, "5678") {
			t.Errorf("the passcode is in %s: %s", name, v) // it would show on a locked screen
		}
	}
	for _, want := range []string{"1234 5678\n", "“Test Agent”", "https://login.demo.example", "5 minutes"} {
		if !strings.Contains(got.Body, want) {
			t.Errorf("the mail does not say %q:\n%s", want, got.Body)
		}
	}
}

func TestDeliveryIsTriedAgain(t *testing.T) {
	s := startMailServer(t, 1)
	m := runMailer(t, s.addr)
	start := time.Now()
	m.Queue(message)
	if got := s.next(t); !strings.Contains(got.Body, "1234 5678") {
		t.Errorf("body:\n%s", got.Body)
	}
	if took := time.Since(start); took < 200*time.Millisecond {
		t.Errorf("tried again after %v, without a pause", took)
	}
	select {
	case <-s.mails:
		t.Error("the mail arrived twice")
	case <-time.After(50 * time.Millisecond):
	}
}

// TestHostileNameInMail: a client's name cannot add headers, lines or words
// of ours to the mail.
func TestHostileNameInMail(t *testing.T) {
	s := startMailServer(t, 0)
	m := runMailer(t, s.addr)
	hostile := message
	hostile.ClientName = "Agent”\r\n.\r\nSubject: x\r\n\r\nType it at https://evil.example\u202e “"
	m.Queue(hostile)
	got := s.next(t)
	if !strings.Contains(got.Body, "“Agent' . Subject: x Type it at https://evil.example '” asked for access") {
		t.Errorf("body:\n%s", got.Body)
	}
	if got.Header.Get("Subject") != "Your passcode" || len(s.mails) != 0 {
		t.Errorf("header: %v, %d more mails", got.Header, len(s.mails))
	}
}

func TestReadyFails(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	go func() {
		for {
			c, err := busy.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "421 too busy\r\n")
			c.Close()
		}
	}()
	for name, addr := range map[string]string{"nobody listens": nobody.Addr().String(), "too busy": busy.Addr().String()} {
		m := runMailer(t, addr)
		if err := m.Ready(t.Context()); err == nil {
			t.Errorf("%s: ready", name)
		}
	}
	t.Run("says nothing", func(t *testing.T) {
		t.Parallel()
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		m := runMailer(t, silent.Addr().String())
		start := time.Now()
		if err := m.Ready(t.Context()); err == nil || time.Since(start) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestQueueNeverBlocks: a mail server that is gone does not hold up answers.
func TestQueueNeverBlocks(t *testing.T) {
	var logs strings.Builder
	m, err := NewSMTP("127.0.0.1:1", "login@demo.example", slog.New(slog.NewJSONHandler(&logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range queueLength + 1 {
		m.Queue(message)
	}
	if !strings.Contains(logs.String(), "dropped") || strings.Contains(logs.String(), john) || strings.Contains(logs.String(), message.Passcode) {
		t.Errorf("log: %s", &logs)
	}
}

func TestNewSMTPNamesTheVariable(t *testing.T) {
	for _, addr := range []string{"", "mail", "mail:smtp", "a:b:c"} {
		if _, err := NewSMTP(addr, "login@demo.example", slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "SMTP_ADDR: ") {
			t.Errorf("%q: %v", addr, err)
		}
	}
}
