// Package mail is the development inbox: the mails with one-time passcodes
// end here, and a developer (or a test) reads them.
//
// It runs the real MailHog v1.0.1 as a child process, SMTP server, API and web
// page, and puts a guarded HTTP front before it. MailHog trusts everybody: its
// API has no access control, its WebSocket accepts any Origin, its page runs
// the scripts of the mails it shows (CVE-2022-50908), its "release" sends mail
// to any host it is told, and it keeps and logs every mail. Here:
//
//   - guard.go lets a browser in from the inbox's own page alone, and refuses
//     the methods that send mail or make MailHog fail on purpose;
//   - inbox.go contains what a mail can do to the page that shows it: nonces
//     and a sandbox keep its scripts from running, no resource is loaded from
//     elsewhere, and the headers of an attachment do not become ours;
//   - child.go closes MailHog's own HTTP port with a password that only this
//     process knows, silences its log, and ends it with the service;
//   - prune.go bounds how many mails are kept.
//
// What remains: MailHog is unmaintained, whoever reaches the gateway's port
// reads every mail without signing in, a mail can still show misleading text,
// and its storage has data races that can end the process under load, which
// ends this service, and loses the mails. All that is fit for a demonstration
// on a developer's machine, and nothing else.
//
// Start reading at routes.go.
package mail

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os/exec"

	"golang.org/x/sync/errgroup"

	"demo.example/services/internal/config"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/mtls"
	"demo.example/services/internal/service"
	"demo.example/services/internal/site"
)

type settings struct {
	site.Site
	mtls.Settings
	ListenAddr     string     `env:"LISTEN_ADDR" envDefault:"127.0.0.1:8084"`
	LogLevel       slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	SMTPListenAddr string     `env:"SMTP_LISTEN_ADDR" envDefault:"127.0.0.1:1025"`
	MailhogBin     string     `env:"MAILHOG_BIN" envDefault:"mailhog"` // path, or a name to find in PATH
	MaxMessages    int        `env:"MAX_MESSAGES" envDefault:"500"`    // the newest that are kept
}

// Validate reports the first setting that cannot be used, by its variable.
func (s settings) Validate() error {
	if err := s.Site.Validate(); err != nil {
		return err
	}
	if !s.Reserved() {
		// Whoever reaches the gateway reads every passcode here.
		return fmt.Errorf("DOMAIN: %s can be somebody's real name, and this inbox is for demonstrations alone: "+
			"choose one below localhost, test or example, or send the passcodes elsewhere (SMTP_ADDR) and leave this service out", s.Domain)
	}
	if _, port, err := net.SplitHostPort(s.SMTPListenAddr); err != nil || port == "" {
		return fmt.Errorf("SMTP_LISTEN_ADDR: %q is not an address such as 127.0.0.1:1025", s.SMTPListenAddr)
	}
	if s.MaxMessages < 1 || s.MaxMessages > 100_000 {
		return fmt.Errorf("MAX_MESSAGES: %d is not between 1 and 100000", s.MaxMessages)
	}
	return nil
}

// Run serves the inbox and SMTP until ctx ends or MailHog does.
func Run(ctx context.Context, environ []string, stderr io.Writer) error {
	cfg, err := config.Parse[settings](environ)
	if err != nil {
		return err
	}
	log := service.Logger(stderr, "mail", cfg.LogLevel)
	identity, err := mtls.Load(cfg.Settings, "mail", log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	bin, err := exec.LookPath(cfg.MailhogBin)
	if err != nil {
		return fmt.Errorf("MAILHOG_BIN: %w; `make up` builds it, or see services/mail/mailhog/README.md", err)
	}
	// MailHog is silenced, so it could not say that its port is taken.
	if _, err := freeAddr(ctx, cfg.SMTPListenAddr); err != nil {
		return fmt.Errorf("SMTP_LISTEN_ADDR: %w; stop what uses the address or choose another", err)
	}
	apiAddr, err := freeAddr(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}

	hog := newMailhog(&url.URL{Scheme: "http", Host: apiAddr}, cfg.SMTPListenAddr)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return runChild(ctx, bin, hog) })
	g.Go(func() error { return pruner{MailHog: hog, Max: cfg.MaxMessages, Log: log}.run(ctx, pruneInterval) })
	g.Go(func() error {
		handler := httpserver.Wrap(routes(cfg.Site, hog, log), log, true)
		srv := httpserver.New(handler, log)
		srv.TLSConfig = identity.Server()
		return httpserver.Serve(ctx, srv, "LISTEN_ADDR", cfg.ListenAddr, log)
	})
	return g.Wait()
}

// freeAddr returns addr, with its port chosen when that is 0, after making
// sure that it can be listened on.
func freeAddr(ctx context.Context, addr string) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
