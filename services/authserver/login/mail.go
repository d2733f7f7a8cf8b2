package login

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
)

// Message is a passcode mail.
type Message struct {
	To, Passcode string
	Lifetime     time.Duration
	ClientName   string // who asks for access
	Own          bool   // nobody does: the user signs in for a page of this server
	Site         string // where the passcode is to be typed
	IP           string // where the request came from
	UserAgent    string // of the browser that it came from
}

// SMTP delivers messages to a mail server.
type SMTP struct {
	host  string
	port  int
	from  string
	log   *slog.Logger
	queue chan Message
	wg    sync.WaitGroup
}

// queueLength bounds the mails that wait for the server.
const queueLength = 1000

// NewSMTP returns a mailer for the server at addr ("host:port"). Run delivers
// what is queued.
func NewSMTP(addr, from string, log *slog.Logger) (*SMTP, error) {
	host, rawPort, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("SMTP_ADDR: %w", err)
	}
	port, err := strconv.Atoi(rawPort)
	if err != nil {
		return nil, fmt.Errorf("SMTP_ADDR: port: %w", err)
	}
	return &SMTP{host: host, port: port, from: from, log: log, queue: make(chan Message, queueLength)}, nil
}

// Ready implements Mailer by waiting for the server's greeting.
func (m *SMTP) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(m.host, strconv.Itoa(m.port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	greeting := make([]byte, 3)
	if _, err := io.ReadFull(conn, greeting); err != nil {
		return err
	}
	if string(greeting) != "220" {
		return fmt.Errorf("greeted with %q", greeting)
	}
	_, err = conn.Write([]byte("QUIT\r\n"))
	return err
}

// Queue implements Mailer. A full queue drops the mail: the user asks again.
func (m *SMTP) Queue(msg Message) {
	select {
	case m.queue <- msg:
	default:
		m.log.Error("mail queue is full; a passcode mail was dropped")
	}
}

// Run delivers queued mails until ctx ends, trying each a few times.
func (m *SMTP) Run(ctx context.Context) {
	for range 4 {
		m.wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case msg := <-m.queue:
					m.deliver(ctx, msg)
				}
			}
		})
	}
	m.wg.Wait()
}

func (m *SMTP) deliver(ctx context.Context, msg Message) {
	for wait := 200 * time.Millisecond; ; wait *= 4 {
		err := m.send(ctx, msg)
		if err == nil {
			m.log.Info("passcode mail delivered")
			return
		}
		if wait > 20*time.Second {
			m.log.Error("passcode mail given up", "error", err.Error())
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (m *SMTP) send(ctx context.Context, msg Message) error {
	letter, err := m.letter(msg)
	if err != nil {
		return err
	}
	client, err := mail.NewClient(m.host, mail.WithPort(m.port), mail.WithTLSPolicy(mail.TLSOpportunistic), mail.WithTimeout(5*time.Second), mail.WithHELO("login.demo.example"))
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, letter)
}
