// Package authserver is an OAuth 2.1 authorization server whose users prove
// who they are with a one-time passcode sent by email.
//
// Start reading at routes.go, which shows the whole surface. This package is
// the HTTP layer: a file an endpoint. What an endpoint decides is in the
// packages below it: grants (the use cases), login, clients, keys, and store,
// in which everything is kept.
package authserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"time"

	_ "golang.org/x/crypto/x509roots/fallback" // certificate authorities where the system has none, as in an image from scratch

	"golang.org/x/sync/errgroup"

	"demo.example/services/authserver/broadcast"
	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store/sqlite"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/config"
	"demo.example/services/internal/dpop"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/mtls"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/service"
)

// expireEvery is how often what has expired is removed from the store.
const expireEvery = time.Minute

// Run serves until ctx ends.
func Run(ctx context.Context, environ []string, stderr io.Writer) (err error) {
	cfg, err := config.Parse[Config](environ)
	if err != nil {
		return err
	}
	log := service.Logger(stderr, "authserver", cfg.LogLevel)
	identity, err := mtls.Load(cfg.Settings, "authserver", log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	db, err := sqlite.Open(ctx, cfg.DatabaseFile)
	if err != nil {
		return errors.Join(errors.New("DATABASE_FILE cannot be used"), err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	mailer, err := login.NewSMTP(cfg.SMTPAddr, cfg.MailFrom, log)
	if err != nil {
		return err
	}
	s, err := newServer(ctx, cfg, db, mailer, time.Now, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.trail.Close()) }()
	handler, err := s.handler()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { mailer.Run(ctx); return nil })
	g.Go(func() error { s.trail.Run(ctx); return nil })
	g.Go(func() error { s.expire(ctx, db); return nil })
	g.Go(func() error { s.keys.Run(ctx, log); return nil })
	g.Go(func() error { <-ctx.Done(); s.revoked.Close(); return nil }) // streams must not delay the end
	g.Go(func() error { s.grants.NoteUses(ctx); return nil })
	g.Go(func() error {
		srv := httpserver.New(httpserver.Wrap(handler, log, true), log)
		srv.TLSConfig = identity.Server()
		return httpserver.Serve(ctx, srv, "LISTEN_ADDR", cfg.ListenAddr, log)
	})
	return g.Wait()
}

// server is what the endpoints share.
type server struct {
	cfg     Config
	db      *sqlite.DB
	grants  *grants.Service
	clients *clients.Registry
	known   []knownName // of the reviewed clients
	login   *login.Service
	keys    *keys.Ring
	csrf    []byte // key of the form tokens
	proofs  *dpop.Checker
	revoked *broadcast.Hub
	trail   *trail.Trail
	back    *http.Client // of the administration, to this server's public name
	log     *slog.Logger
	now     func() time.Time

	userCodes      userCodes // wrong ones
	requests       *limits.Limiter
	registrations  *limits.Limiter
	accountChanges *limits.Limiter // by user
}

// newServer builds the layers from the store up.
func newServer(ctx context.Context, cfg Config, db *sqlite.DB, mailer login.Mailer, now func() time.Time, log *slog.Logger) (*server, error) {
	kek, err := config.ReadSecret("SECRETS_DIR", filepath.Join(cfg.SecretsDir, "key-encryption-key"))
	if err != nil {
		return nil, err
	}
	ring, err := loadKeys(ctx, cfg, db, now)
	if err != nil {
		return nil, err
	}
	var csrfKey, nonceKey, passcodeKey, deviceKey []byte
	for use, key := range map[string]*[]byte{"form tokens": &csrfKey, "DPoP nonces": &nonceKey, "passcodes": &passcodeKey, "user codes": &deviceKey} {
		if *key, err = keys.Derive(kek, use); err != nil {
			return nil, err
		}
	}
	presets, err := clients.LoadPresets(cfg.ClientsFile, cfg.SecretsDir, cfg.Site)
	if err != nil {
		return nil, err
	}
	roots, err := clients.Roots(cfg.CAFile, os.ReadFile)
	if err != nil {
		return nil, err
	}
	if err := login.AddUsers(ctx, db, cfg.UsersFile); err != nil {
		return nil, err
	}
	trailConfig, err := auditConfig(cfg, now, log)
	if err != nil {
		return nil, err
	}
	kept, err := trail.Open(ctx, trailConfig)
	if err != nil {
		return nil, fmt.Errorf("AUDIT_FILE: %w", err)
	}
	documents := clients.NewDocuments(clients.NewFetcher(roots, cfg.Host("client"), cfg.ClientHostAddr), now)
	documents.FailureTime = clients.FailureTime
	registry := &clients.Registry{
		Presets:   presets,
		Store:     db,
		Documents: documents,
		Policy: clients.Policy{
			Scope:    oauth.ScopeStocksRead + " " + oauth.ScopeStocksTrade + " " + oauth.ScopeOpenID + " " + oauth.ScopeEmail + " " + oauth.ScopeOfflineAccess,
			Resource: cfg.MCPResource(),
		},
		// Twice what an hour can bring: whoever is in the middle of a sign-in
		// is never among the oldest.
		MaxUnused: 2 * cfg.RegistrationsTotal,
		Now:       now,

		Assertions: db,
		Audiences:  []string{cfg.Issuer(), cfg.Issuer() + "/token"},
	}
	if err := registry.LoadSuspended(ctx); err != nil {
		return nil, err
	}
	revoked := broadcast.New(maxRevocationStreams)
	db.Announce(revoked.Publish)
	return &server{
		cfg:     cfg,
		revoked: revoked,
		db:      db,
		clients: registry,
		known:   reviewedNames(presets),
		grants:  grants.New(grants.Service{Site: cfg.Site, Store: db, Clients: registry, Keys: ring, Log: log, Now: now, DeviceKey: deviceKey}),
		login: &login.Service{
			Store: db, Mailer: mailer, Key: passcodeKey, Log: log, Now: now,
			Limits: login.Limits{PerAddress: cfg.PasscodesPerAddress, PerIP: cfg.PasscodesPerIP, Total: cfg.PasscodesTotal},
		},
		keys:   ring,
		csrf:   csrfKey,
		proofs: dpop.NewChecker(nonceKey, now),
		trail:  kept,
		back:   newBack(roots, cfg.ClientHostAddr),
		log:    log,
		now:    now,

		userCodes:      newUserCodes(now),
		requests:       limits.New(cfg.AuthorizationsPerIP, 20*cfg.AuthorizationsPerIP, time.Minute, now),
		registrations:  limits.New(cfg.RegistrationsPerIP, cfg.RegistrationsTotal, time.Hour, now),
		accountChanges: limits.New(accountChangesPerMinute, math.MaxInt, time.Minute, now),
	}, nil
}

// expire removes what has expired, until ctx ends.
func (s *server) expire(ctx context.Context, db *sqlite.DB) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		if err := db.Expire(ctx, s.now()); err != nil && ctx.Err() == nil {
			s.log.Error("expired records not removed", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
