// Package gateway is the one public door of the deployment. It ends TLS,
// finds the service that a host name stands for and, in front of a protected
// resource, swaps the client's opaque access token for the JWT behind it
// ("phantom token"), so that neither does a client ever hold a JWT nor a
// service ever see what the client holds.
//
// Start reading at routes.go, then phantom.go, cache.go and introspect.go.
package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/config"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/mtls"
	"demo.example/services/internal/revocation"
	"demo.example/services/internal/service"
)

// Main is Run for a process of its own, whose garbage collector it may set.
func Main(ctx context.Context, environ []string, stderr io.Writer) error {
	cfg, err := config.Parse[settings](environ)
	if err != nil {
		return err
	}
	// Requests leave much garbage and little that is kept, but for the tokens.
	// Collecting less often saves a tenth of the CPU of a request. The limit
	// keeps it below what compose.yaml gives the container.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(32<<20 + 2*int64(cfg.TokenCacheBytes))
	return Run(ctx, environ, stderr)
}

// Run serves until ctx ends. The settings come from environ (see settings).
func Run(ctx context.Context, environ []string, stderr io.Writer) error {
	cfg, err := config.Parse[settings](environ)
	if err != nil {
		return err
	}
	secret, err := config.ReadSecret("CLIENT_SECRET_FILE", cfg.ClientSecretFile)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	log := service.Logger(stderr, serviceName, cfg.LogLevel)
	cert, err := loadCertificate(cfg, log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if cfg.identity, err = mtls.Load(cfg.Settings, serviceName, log); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}

	sender := audit.NewSender(serviceName, cfg.AuthserverURL, secret, httpserver.NewClient(newTransport(cfg.identity)), log)
	defer sender.Start()()
	cfg.audit = sender
	handler, follower := newHandler(cfg, secret, log)
	public := httpserver.New(handler, log)
	public.TLSConfig = tlsConfig(cert)
	// A connection that opens four times as many, taken back or not, is cut off.
	// Of bodies that nobody has begun to read little is taken from the network.
	public.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 100, MaxReceiveBufferPerStream: maxBody, MaxReceiveBufferPerConnection: 4 * maxBody}
	public.DisableGeneralOptionsHandler = true // "OPTIONS *" is the guard's to refuse

	// The health check of a container knows neither our CA nor our names.
	health := httpserver.New(httpserver.Wrap(serveHealth(follower.Watch), log, false), log)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { follower.Run(ctx); return nil })
	g.Go(func() error { return httpserver.Serve(ctx, public, "LISTEN_ADDR", cfg.ListenAddr, log) })
	g.Go(func() error { return httpserver.Serve(ctx, health, "HEALTH_LISTEN_ADDR", cfg.HealthListenAddr, log) })
	return g.Wait()
}

// newHandler puts together what a request meets, from the outside in, and who
// listens for revocations on its behalf.
func newHandler(cfg settings, secret config.Secret, log *slog.Logger) (http.Handler, *revocation.Follower) {
	transport := newTransport(cfg.identity)
	way := func(name string, origin url.URL) http.RoundTripper {
		return newBackend(name, origin, cfg.UpstreamConcurrency, transport, log)
	}
	as := &introspector{
		Endpoint: cfg.AuthserverURL.JoinPath("introspect").String(),
		ClientID: serviceName,
		Secret:   secret,
		// Apart from the way of browsers to the same service: a flood of
		// sign-ins keeps no token from being judged.
		Client: httpserver.NewClient(way("introspection", cfg.AuthserverURL)),
		Now:    time.Now,
	}
	follower := &revocation.Follower{
		URL: cfg.AuthserverURL.JoinPath("revocations").String(), ClientID: serviceName, Secret: secret, Client: as.Client,
		Watch: revocation.NewWatch(cfg.TokenCacheTTL, time.Now), Log: log,
	}
	tokens := newTokenCache(cfg.TokenCacheBytes, follower.Watch, time.Now, as.phantom)
	services := newStates(routes(cfg), transport, time.Now)
	return httpserver.Wrap(guard(newRouter(cfg, tokens, newProofs(secret), services, way, log)), log, false), follower
}

// tlsConfig allows TLS 1.2 and 1.3, and of TLS 1.2 only the suites with
// forward secrecy and authenticated encryption (RFC 9325 §4.2).
func tlsConfig(cert *certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate: cert.forName,
	}
}

// serveHealth speaks for the gateway alone: restarting it would not mend a
// service behind it. A gateway that hears of no revocations says so, and works
// on with short cache times.
func serveHealth(revoked *revocation.Watch) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, `{"status":"ok","revocations":"`+revoked.State()+`"}`+"\n")
	}
}
